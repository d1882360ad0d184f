/* The search page: sections and entries of the reference, best first, each with an excerpt. */
(() => {
  "use strict";

  const LIMIT = 40; // results shown
  const LENGTH = 220; // characters of an excerpt
  const WORD = /[\p{L}\p{N}]+/gu;
  const LITTLE = new Set(
    "a an and are as at be by do does for from how i in is it my of on or the this to was what when which why with".split(" "),
  );

  /* One spelling and one form for words that differ in no more than that. */
  const stems = new Map();
  const stem = (word) => {
    if (stems.has(word)) return stems.get(word);
    let s = word.toLowerCase();
    if (s.length > 4) {
      s = s.replace(/is(e[rsd]?|ing|ation|ations|ers)$/, "iz$1").replace(/our/, "or").replace(/tre$/, "ter").replace(/ll(ed|ing|er)$/, "l$1");
      s = s.replace(/(ization|izations|izing|ized|izes|izer|izers|ize)$/, "iz");
    }
    s = s.replace(/^cent(?:re|er)(?:d|ed|s|ing)?$/, "centr");
    if (s.length > 3) s = s.replace(/ies$/, "y").replace(/([^s])s$/, "$1");
    if (s.length > 5) s = s.replace(/(ing|ed)$/, "").replace(/([bdgmnprt])\1$/, "$1");
    if (s.length > 4) s = s.replace(/e$/, "");
    stems.set(word, s);
    return s;
  };
  const split = (text) => (text.match(WORD) || []).map(stem);
  const asked = (text) => {
    const all = (text.match(WORD) || []).filter((word) => !LITTLE.has(word.toLowerCase()));
    return (all.length ? all : text.match(WORD) || []).map(stem);
  };
  const holds = (words, part) => ` ${words.join(" ")} `.indexOf(` ${part.join(" ")} `) >= 0;

  /* The query, and the query with what the book calls the same thing. */
  const variants = (query, groups) => {
    const words = asked(query);
    const found = [words];
    for (const group of groups) {
      const mine = group.filter((phrase) => holds(words, phrase)).sort((a, b) => b.length - a.length)[0];
      if (!mine) continue;
      for (const other of group.filter((phrase) => phrase !== mine)) {
        const text = ` ${words.join(" ")} `.replace(` ${mine.join(" ")} `, ` ${other.join(" ")} `);
        found.push(text.trim().split(" "));
      }
    }
    return found;
  };

  const prepare = (index) => {
    const entries = [];
    for (const [address, title, parts] of index.pages) {
      parts.forEach(([anchor, heading, text, code], k) => {
        const entry = { address, title, anchor, heading, text, first: k === 0 };
        // Of an entry of the reference its own name counts, in its parts, not its module or class.
        entry.api = anchor.startsWith("nnbook.");
        const name = heading.replace(/^\w+\.(\w+\.)*/, "");
        entry.head = split(entry.api ? `${name} ${name.replace(/([a-z])([A-Z])/g, "$1 $2")}` : heading);
        entry.body = split(text);
        entry.page = split(title);
        entry.counts = new Map();
        for (const word of entry.body) entry.counts.set(word, (entry.counts.get(word) || 0) + 1);
        for (const word of split(code)) entry.counts.set(word, (entry.counts.get(word) || 0) + 0.1);
        entries.push(entry);
      });
    }
    return { entries, groups: index.synonyms.map((group) => group.map(split)) };
  };

  /* How often a word occurs, and less for one that is only begun. */
  const weight = (words, word) =>
    words.includes(word) ? 1 : word.length > 2 && words.some((w) => w.startsWith(word)) ? 0.5 : 0;
  const score = (entry, words) => {
    let sum = 0;
    let met = 0;
    for (const word of words) {
      let count = entry.counts.get(word) || 0;
      if (!count && word.length > 3) {
        for (const [w, n] of entry.counts) if (w.startsWith(word)) count += 0.5 * n;
      }
      const inText = count ? (2 * count) / (count + 1 + entry.body.length / 150) : 0;
      const found = 8 * weight(entry.head, word) + 2 * weight(entry.page, word) + inText;
      if (found) met += 1;
      sum += found;
    }
    if (words.length > 1) {
      if (holds(entry.head, words)) sum += 20;
      else if (holds(entry.body, words)) sum += 6;
    }
    if (entry.head.length === words.length && holds(entry.head, words)) sum += 10;
    // Where both speak of it, a lesson explains and the reference looks up.
    if (entry.address.startsWith("chapters/api/") && !holds(entry.head, words)) sum *= 0.9;
    return met === words.length ? sum : (0.05 * sum * met) / words.length;
  };

  const search = ({ entries, groups }, query) => {
    const tried = variants(query, groups);
    const scored = entries.map((entry) => {
      const values = tried.map((words, k) => score(entry, words) * (k ? (entry.api ? 0.5 : 0.9) : 1));
      const best = values.indexOf(Math.max(...values));
      return { entry, value: values[best], words: tried[best] };
    });
    const some = scored.filter((one) => one.value > 0).sort((a, b) => b.value - a.value);
    const enough = some.length ? some[0].value / 25 : 0;
    return some.filter((one) => one.value >= enough);
  };

  /* The stretch of a text that has most of the words, with the words marked. */
  const excerpt = (text, words) => {
    const paragraph = document.createElement("p");
    paragraph.className = "context";
    const hits = [...text.matchAll(WORD)].filter((m) => words.includes(stem(m[0])));
    let start = 0;
    let most = 0;
    for (const hit of hits) {
      const inside = hits.filter((h) => h.index >= hit.index && h.index < hit.index + LENGTH);
      const kinds = new Set(inside.map((h) => stem(h[0]))).size;
      if (kinds > most) {
        most = kinds;
        start = hit.index;
      }
    }
    start = Math.max(0, start - 60);
    if (start) start = text.indexOf(" ", start) + 1;
    const end = Math.min(text.length, start + LENGTH);
    let at = start;
    paragraph.append(start ? "… " : "");
    for (const hit of hits.filter((h) => h.index >= start && h.index + h[0].length <= end)) {
      const mark = document.createElement("mark");
      mark.textContent = hit[0];
      paragraph.append(text.slice(at, hit.index), mark);
      at = hit.index + hit[0].length;
    }
    paragraph.append(text.slice(at, end) + (end < text.length ? " …" : ""));
    return paragraph;
  };

  const show = (box, prepared, query) => {
    box.replaceChildren();
    if (!query.trim()) return;
    const results = search(prepared, query);
    const summary = document.createElement("p");
    summary.setAttribute("role", "status");
    const shown = Math.min(LIMIT, results.length);
    summary.textContent = results.length
      ? `${results.length} sections about “${query}”` + (shown < results.length ? `, the best ${shown} of them` : "")
      : `Nothing about “${query}”. Try another word, or look it up in the glossary or the index.`;
    const list = document.createElement("ul");
    list.className = "search";
    for (const { entry, words } of results.slice(0, LIMIT)) {
      const item = document.createElement("li");
      const link = document.createElement("a");
      link.href = entry.address + (entry.first ? "" : `#${entry.anchor}`);
      link.textContent = entry.heading;
      item.append(link);
      if (entry.heading !== entry.title) {
        const where = document.createElement("span");
        where.className = "nnbook-where";
        where.textContent = ` in ${entry.title}`;
        item.append(where);
      }
      item.append(excerpt(entry.text, words));
      list.append(item);
    }
    box.append(summary, list);
  };

  const start = () => {
    const box = document.getElementById("search-results");
    const index = window.nnbookSearchIndex;
    if (!box || !index) return;
    const prepared = prepare(index);
    const query = new URLSearchParams(location.search).get("q") || "";
    const inputs = document.querySelectorAll('form.bd-search input[name="q"]');
    for (const input of inputs) {
      input.value = query;
      input.addEventListener("input", () => show(box, prepared, input.value));
    }
    show(box, prepared, query);
    window.nnbookSearch = (text) =>
      search(prepared, text).map(({ entry, value }) => [`${entry.address}#${entry.anchor}`, value]);
  };

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
