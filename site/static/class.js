// The class's tables: buttons in the heads sort, and the form above the students filters. Without this file the tables
// stand in the order that matters most.

function value(row, column, numeric) {
  const text = row.cells[column].textContent.trim();
  return numeric ? parseFloat(text) : text;
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const kind = head.dataset.sort;
    if (!kind) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const numeric = kind === "number";
      // Numbers begin with the largest, words with A; each further click turns round.
      const now = head.getAttribute("aria-sort");
      const up = now ? now === "descending" : !numeric;
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const rows = [...table.tBodies[0].rows].map((row) => [value(row, column, numeric), row]);
      const missing = (x) => x === "" || Number.isNaN(x);
      rows.sort(([a], [b]) => {
        if (missing(a) || missing(b)) return missing(a) - missing(b);
        return (numeric ? a - b : a.localeCompare(b, "en", { numeric: true, sensitivity: "base" })) * (up ? 1 : -1);
      });
      table.tBodies[0].append(...rows.map(([, row]) => row));
    });
  });
}

function filterable(form, table) {
  const name = form.querySelector("#filter-name");
  const towards = form.querySelector("#filter-towards");
  const stuck = form.querySelector("#filter-stuck");
  const count = form.querySelector("#filter-count");
  const rows = [...table.tBodies[0].rows];

  function apply() {
    const wanted = name.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits =
        row.cells[0].textContent.toLowerCase().includes(wanted) &&
        (!towards.value || row.dataset.towards === towards.value) &&
        (!stuck.checked || row.classList.contains("stuck"));
      row.hidden = !fits;
      shown += fits;
    }
    count.textContent = `${shown} of ${rows.length} shown`;
  }

  form.addEventListener("input", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  apply();
}

document.querySelectorAll("table:has(th[data-sort])").forEach(sortable);
const form = document.querySelector("#filter");
if (form) filterable(form, document.querySelector("#students-table"));
