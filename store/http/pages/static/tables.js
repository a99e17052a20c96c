// Tables that are sorted and searched at once, forms that leave out what is empty, names that are suggested.
// Everything here works without this file, by asking the server.
"use strict";

/** Put values into the address of this page, so that it can be passed on. */
function keepInAddress(values) {
  const address = new URL(location.href);
  for (const [name, value] of Object.entries(values)) {
    if (value) address.searchParams.set(name, value);
    else address.searchParams.delete(name);
  }
  history.replaceState(null, "", address);
  const form = document.querySelector("form.page");
  for (const [name, value] of Object.entries(values)) {
    const field = form.elements.namedItem(name) || form.appendChild(hidden(name));
    if (field !== document.activeElement) field.value = value || "";
  }
}

function hidden(name) {
  const field = document.createElement("input");
  field.type = "hidden";
  field.name = name;
  return field;
}

/** Before, after or beside; what has no key stands last either way. */
function compared(one, other, downward) {
  if (one === "" || other === "") return (one === "") - (other === "");
  const numbers = [Number(one), Number(other)];
  const order = numbers.some(Number.isNaN) ? (one < other ? -1 : one > other ? 1 : 0) : numbers[0] - numbers[1];
  return downward ? -order : order;
}

function sortable(table) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const link = head.querySelector("a");
    if (!link) return;
    link.addEventListener("click", (event) => {
      if (event.metaKey || event.ctrlKey || event.shiftKey) return;
      event.preventDefault();
      const sort = new URL(link.href).searchParams.get("sort");
      const downward = sort.startsWith("-");
      const body = table.tBodies[0];
      const rows = [...body.rows];
      rows.sort((a, b) => compared(a.cells[place].dataset.sort, b.cells[place].dataset.sort, downward));
      body.append(...rows);
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", downward ? "descending" : "ascending");
      keepInAddress({ sort });
      table.dispatchEvent(new Event("reordered"));
      const next = new URL(link.href);
      next.searchParams.set("sort", downward ? sort.slice(1) : `-${sort}`);
      link.href = next;
    });
  });
}

function searchable(field) {
  const table = document.getElementById(field.dataset.filters);
  if (!table) return;
  const none = document.querySelector(`[data-none="${table.id}"]`);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let left = 0;
    for (const row of table.tBodies[0].rows) {
      const text = row.textContent.toLowerCase();
      row.hidden = !words.every((word) => text.includes(word));
      left += !row.hidden;
    }
    none.hidden = left > 0;
    const shown = new Set([...table.querySelectorAll("tbody tr:not([hidden])")].map((row) => row.dataset.ref));
    for (const row of document.querySelectorAll("#history tr[data-ref]")) row.hidden = !shown.has(row.dataset.ref);
    keepInAddress({ q: field.value.trim() });
    table.dispatchEvent(new Event("reordered"));
  });
}

function suggesting(field) {
  const list = document.createElement("datalist");
  list.id = `${field.id}-names`;
  field.after(list);
  field.setAttribute("list", list.id);
  let waiting = 0;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(async () => {
      const asked = new URLSearchParams({ query: field.value.trim(), limit: 20 });
      const answer = await fetch(`/v1/models?${asked}`);
      if (!answer.ok) return;
      const options = (await answer.json()).map((row) => {
        const option = document.createElement("option");
        option.value = row.model;
        return option;
      });
      list.replaceChildren(...options);
    }, 150);
  });
}

for (const table of document.querySelectorAll("table[data-live]")) sortable(table);
for (const field of document.querySelectorAll("input[data-filters]")) searchable(field);
for (const field of document.querySelectorAll("#search, input[data-suggest]")) suggesting(field);

for (const form of document.forms) {
  form.addEventListener("formdata", (event) => {
    for (const [name, value] of [...event.formData]) {
      if (value === "") {
        const left = event.formData.getAll(name).filter((one) => one !== "");
        event.formData.delete(name);
        left.forEach((one) => event.formData.append(name, one));
      }
    }
  });
}
