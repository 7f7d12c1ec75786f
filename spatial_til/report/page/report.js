"use strict";
(() => {
  const key = (cell) => (cell.dataset.sort !== undefined ? cell.dataset.sort : cell.textContent).trim();
  const compare = (a, b) => {
    if (a === "" || b === "") return (a === "") - (b === "");
    const x = Number(a), y = Number(b);
    return Number.isNaN(x) || Number.isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
  };
  const sort = (header) => {
    const table = header.closest("table"), body = table.tBodies[0], column = header.cellIndex;
    const down = header.getAttribute("aria-sort") === "ascending";
    const rows = Array.from(body.rows, (row) => [key(row.cells[column]), row]);
    // what is not known stays last, whichever way
    rows.sort(([a], [b]) => (a === "" || b === "" ? compare(a, b) : down ? compare(b, a) : compare(a, b)));
    for (const th of table.tHead.rows[0].cells) th.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
  };
  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }
  // a table wider than its box can be scrolled by keyboard; asked only once it is on screen
  const wide = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.scrollWidth > target.clientWidth) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll(".scroll")) wide.observe(box);
  const text = document.getElementById("filter-text"), kind = document.getElementById("filter-class");
  if (text) {
    const rows = Array.from(document.querySelectorAll("#slide-table tbody tr"));
    const filter = () => {
      const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const row of rows) {
        const content = row.textContent.toLowerCase();
        row.hidden = (kind.value && row.dataset.class !== kind.value) || !words.every((word) => content.includes(word));
        shown += !row.hidden;
      }
      document.getElementById("filter-count").textContent = `${shown} of ${rows.length} ${rows.length === 1 ? "slide" : "slides"}`;
    };
    text.addEventListener("input", filter);
    kind.addEventListener("change", filter);
  }
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("article details")) details.open = true;
  });
})();
