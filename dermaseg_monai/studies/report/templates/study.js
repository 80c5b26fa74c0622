"use strict";
// A header's button sorts its table: first the way that reads best, then the other way round.
for (const table of document.querySelectorAll("table.sortable")) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    const button = header.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const text = header.classList.contains("text");
      const now = header.getAttribute("aria-sort");
      const first = text || ["p", "rank", "minutes", "parameters", "sd"].includes(header.dataset.column)
        ? "ascending" : "descending";
      const order = now === null ? first : now === "ascending" ? "descending" : "ascending";
      headers.forEach((other) => other.removeAttribute("aria-sort"));
      header.setAttribute("aria-sort", order);
      const value = (row) => row.cells[column].dataset.value;
      const missing = (one) => one === undefined || one === "" || one === "nan" || one === "None";
      const rows = [...table.tBodies[0].rows];
      rows.sort((a, b) => {
        const [x, y] = [value(a), value(b)];
        // what has no value comes last either way
        if (missing(x) || missing(y)) return missing(x) - missing(y);
        const compared = text ? x.localeCompare(y) : Number(x) - Number(y);
        return order === "ascending" ? compared : -compared;
      });
      table.tBodies[0].append(...rows);
      document.getElementById("said").textContent = `sorted by ${button.textContent}, ${order}`;
    });
  });
}
