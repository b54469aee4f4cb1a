// The form above the table of students hides rows that do not match. Without this script, all rows are shown.
{
  const form = document.querySelector("#filter");
  const rows = [...document.querySelectorAll("#students-table tbody tr")];
  const count = form.querySelector("output");

  function apply() {
    const wanted = form.elements.who.value.trim().toLowerCase();
    const section = form.elements.section?.value ?? "";
    let shown = 0;
    for (const row of rows) {
      const fits =
        row.dataset.who.includes(wanted) &&
        (!section || row.dataset.section === section) &&
        (!form.elements.stuck.checked || "stuck" in row.dataset) &&
        (!form.elements.stale.checked || "stale" in row.dataset);
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
