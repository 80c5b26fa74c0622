// The description of the server's interface, from its own openapi.json.

import { byId, h, loadTexts, t } from "./dom.js";

const [description] = await Promise.all([fetch("api/openapi.json").then((answer) => answer.json()), loadTexts(["en"])]);
const routes = Object.entries(description.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, route]) => ({ path, method, ...route })));

function section({ path, method, description: text, requestBody, responses }) {
  const form = Object.values(requestBody?.content ?? {})[0]?.schema;
  return h("section", {},
    h("h2", {}, h("b", {}, method.toUpperCase()), h("code", {}, path)),
    h("p", {}, text ?? ""),
    form && fields(form.properties, new Set(form.required)),
    h("p", { class: "sub" }, `${t("api_answers")}: ${Object.entries(responses).map(([status, { content }]) => status + kinds(content)).join(", ")}`),
    ...Object.values(responses[200]?.content ?? {}).flatMap(({ schema }) => answers(schema, new Set())));
}

const kinds = (content) => (content ? ` (${Object.keys(content).join(", ")})` : "");

function fields(properties, needed) {
  return h("div", { class: "table" },
    h("table", {},
      h("thead", {}, h("tr", {}, ...["api_parameter", "api_type", "api_meaning"].map((key) => h("th", { scope: "col" }, t(key))))),
      h("tbody", {}, ...Object.entries(properties).map(([name, schema]) =>
        h("tr", {},
          h("th", { scope: "row" }, h("code", {}, name + (needed.has(name) ? " *" : ""))),
          h("td", {}, h("code", {}, kind(schema))),
          h("td", {}, schema.description ?? ""))))));
}

const resolved = (schema) => (schema?.$ref ? description.components.schemas[schema.$ref.split("/").pop()] : schema);

function kind(schema) {
  if (schema.$ref) return schema.$ref.split("/").pop();
  if (schema.anyOf) return schema.anyOf.map(kind).join(" | ");
  if (schema.type === "array") return `${kind(schema.items)}[]`;
  if (schema.additionalProperties) return `{name: ${kind(schema.additionalProperties)}}`;
  return schema.format ?? schema.type ?? "any";
}

/** Tables of the objects that an answer consists of, each once. */
function answers(schema, seen) {
  const inner = resolved(schema);
  const parts = [inner?.items, inner?.additionalProperties, ...(inner?.anyOf ?? []), ...Object.values(inner?.properties ?? {})];
  const below = () => parts.filter((part) => part && typeof part === "object").flatMap((part) => answers(part, seen));
  if (!inner?.properties || seen.has(inner.title)) return inner?.properties ? [] : below();
  seen.add(inner.title);
  return [
    h("h3", {}, h("code", {}, inner.title), inner.description ? h("span", { class: "sub" }, ` ${inner.description}`) : null),
    fields(inner.properties, new Set(inner.required)),
    ...below(),
  ];
}

byId("routes").append(...routes.map(section));
document.body.dataset.ready = "";
