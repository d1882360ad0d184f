/* What is wider than the page and scrolls can be reached by the keyboard; paper is always light. */
(() => {
  "use strict";

  const WIDE = "mjx-container[display='true'], div.math, .bd-article pre, .cell_output .text_html, .cell_output .output";

  const reach = () => {
    for (const element of document.querySelectorAll(WIDE)) {
      const scrolls =
        element.scrollWidth > element.clientWidth + 1 || element.scrollHeight > element.clientHeight + 1;
      if (scrolls) element.tabIndex = 0;
    }
  };

  const start = () => {
    reach();
    const typeset = window.MathJax && MathJax.startup && MathJax.startup.promise;
    if (typeset) typeset.then(reach);
  };

  const root = document.documentElement;
  let theme = root.dataset.theme;
  addEventListener("beforeprint", () => {
    theme = root.dataset.theme;
    root.dataset.theme = "light";
  });
  addEventListener("afterprint", () => {
    root.dataset.theme = theme;
  });
  addEventListener("load", start);
  addEventListener("resize", reach);
})();
