// The dialogs: options, and the token that a server may want.

import { byId, h, icon, t } from "./dom.js";

function field(id, label, names, value, change) {
  const select = h("select", { id }, ...names.map(([name, text]) => h("option", { value: name, selected: name === value }, text)));
  select.addEventListener("change", () => change(select.value));
  return h("div", { class: "field" }, h("label", { for: id }, label), select);
}

/** Let the visitor choose bundles; `change(name, value)` hears of it. */
export function openOptions(about, chosen, change) {
  const dialog = byId("options");
  const of = (task) => about.bundles.filter((bundle) => bundle.task === task).map(({ name }) => [name, name]);
  const structures = of("attribute");
  dialog.replaceChildren(
    h("form", { method: "dialog" },
      h("h2", { id: "options-title" }, t("options_title")),
      field("bundle", t("bundle"), of("lesion"), chosen.bundle, (value) => change("bundle", value)),
      structures.length > 0 &&
        field("attributes", t("attributes"), [["", t("none")], ...structures], chosen.attributes, (value) => change("attributes", value)),
      h("p", { class: "sub" }, t("again")),
      h("button", { class: "primary" }, t("close"))),
    h("form", { method: "dialog" }, h("button", { class: "corner", "aria-label": t("close") }, icon("close"))),
  );
  dialog.showModal();
}

/** Ask for the token of a server. */
export function askToken() {
  const dialog = byId("token");
  return new Promise((resolve) => {
    const input = h("input", { id: "token-field", type: "password", autocomplete: "off", required: true, "aria-describedby": "token-hint" });
    const form = h("form", {},
      h("h2", { id: "token-title" }, t("token_title")),
      h("div", { class: "field" }, h("label", { for: "token-field" }, t("token_label")), input),
      h("p", { class: "sub", id: "token-hint" }, t("token_hint")),
      h("button", { class: "primary" }, t("token_send")));
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      dialog.close();
      resolve(input.value.trim());
    });
    dialog.replaceChildren(form);
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    if (!dialog.open) dialog.showModal();
  });
}
