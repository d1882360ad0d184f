/* The atlas of verdicts: filters over a table that is complete without them. */
(() => {
  "use strict";

  const start = () => {
    const form = document.querySelector("form.nnbook-filters");
    const table = document.querySelector("table.nnbook-atlas");
    if (!form || !table) return;
    const rows = [...table.querySelectorAll("tbody tr[id]")].map((row) => ({
      row,
      text: row.textContent.toLowerCase().replace(/\s+/g, " "),
    }));
    const choices = ["chapter", "source", "headline"].map((name) => form.elements[name]);
    const shown = form.querySelector(".nnbook-shown");

    const apply = () => {
      const classes = choices.map((choice) => choice.value).filter(Boolean);
      const words = form.elements.words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const { row, text } of rows) {
        const fits =
          classes.every((name) => row.classList.contains(name)) &&
          words.every((word) => text.includes(word));
        row.hidden = !fits;
        count += fits;
      }
      for (const group of table.tBodies) {
        group.hidden = !group.querySelector("tr[id]:not([hidden])");
      }
      shown.textContent = `${count} of ${rows.length} claims`;
    };

    /* What an address asks for: ?headline=nnbook-open filters, #C028 opens at a row. */
    const reveal = () => {
      const row = document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (!row || !table.contains(row)) return;
      if (row.hidden) {
        form.reset();
        apply();
      }
      row.scrollIntoView();
    };

    const asked = new URLSearchParams(location.search);
    for (const choice of choices) {
      const value = asked.get(choice.name) || "";
      if ([...choice.options].some((option) => option.value === value)) choice.value = value;
    }
    form.elements.words.value = asked.get("words") || "";
    form.hidden = false;
    form.addEventListener("input", apply);
    form.addEventListener("reset", () => setTimeout(apply));
    form.addEventListener("submit", (event) => event.preventDefault());
    addEventListener("hashchange", reveal);
    apply();
    reveal();
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
