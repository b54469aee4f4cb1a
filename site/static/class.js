// Makes the class's tables sortable with buttons in their headers. Without this file they stay in the most useful order.

function value(row, column, numeric) {
  const text = row.cells[column].textContent.trim();
  return numeric ? parseFloat(text.replace("−", "-")) : text;
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
      // The first click puts the largest number or the letter A first, and each further click reverses the order.
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

document.querySelectorAll("table:has(th[data-sort])").forEach(sortable);
