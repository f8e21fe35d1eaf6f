// Writes the documentation of the API from the service's own description of it, /openapi.json.

const $ = (id) => document.getElementById(id);

/** Return a new element with children. @param {string} tag @param {string} className @param {...(Node | string)} children */
function make(tag, className, ...children) {
  const made = Object.assign(document.createElement(tag), { className });
  made.append(...children);
  return made;
}

/** Return a text with its `words` as code. @param {string} text */
function prose(text) {
  return text.split("`").map((part, i) => (i % 2 ? make("code", "", part) : part));
}

function paragraphs(text = "") {
  return text.split("\n\n").map((part) => make("p", "", ...prose(part.replaceAll("\n", " "))));
}

class Document {
  constructor(description) {
    this.description = description;
  }

  resolve(schema = {}) {
    const name = schema.$ref?.split("/").pop();
    return name ? this.description.components.schemas[name] : schema;
  }

  /** Return what a value may be, in a few words. @param {object} schema */
  kindOf(schema) {
    if (schema.$ref) return this.kindOf(this.resolve(schema));
    if (schema.anyOf && !schema.type) return schema.anyOf.map((option) => this.kindOf(option)).join(" or ");
    if (schema.const !== undefined) return `always ${JSON.stringify(schema.const)}`;
    if (schema.enum) return schema.enum.join(" | ");
    if (schema.format === "binary") return "file";
    if (schema.type === "array") return `list of ${schema.items ? this.kindOf(schema.items) : "values"}`;
    return schema.type === "null" ? "null" : [schema.type, schema.format].filter(Boolean).join(", ");
  }

  boundsOf({ minimum, maximum, maxLength, maxItems, default: byDefault }) {
    const range = minimum !== undefined && maximum !== undefined ? `${minimum} to ${maximum}` : "";
    const least = !range && minimum !== undefined ? `at least ${minimum}` : "";
    const most = !range && maximum !== undefined ? `at most ${maximum}` : "";
    const length = maxLength !== undefined ? `at most ${maxLength} characters` : "";
    const items = maxItems !== undefined ? `at most ${maxItems} items` : "";
    const standard = byDefault !== undefined && byDefault !== "" && byDefault !== null ? `default ${JSON.stringify(byDefault)}` : "";
    return [range, least, most, length, items, standard].filter(Boolean).join(", ");
  }

  fields(schema, marksNeeded) {
    const { properties = {}, required = [] } = schema;
    const list = make("dl", "");
    for (const [name, field] of Object.entries(properties)) {
      const about = [this.kindOf(field), this.boundsOf(field)].filter(Boolean).join("; ");
      const needed = marksNeeded && required.includes(name) ? [make("span", "needed", "required")] : [];
      list.append(make("dt", "", make("code", "", name), make("span", "", about), ...needed));
      list.append(make("dd", "", ...prose(field.description ?? this.resolve(field).description ?? "")));
    }
    return list;
  }

  bodies(content, title, marksNeeded) {
    return Object.entries(content ?? {}).flatMap(([type, { schema }]) => {
      const resolved = this.resolve(schema);
      if (!resolved.properties) return [];
      const about = marksNeeded ? [] : paragraphs(resolved.description);
      const details = make("details", "", make("summary", "", `${title}: ${type}`), ...about, this.fields(resolved, marksNeeded));
      details.open = marksNeeded && type === "multipart/form-data";
      return [details];
    });
  }

  headers(parameters = []) {
    const sent = parameters.filter((parameter) => parameter.in === "header");
    if (!sent.length) return [];
    const properties = Object.fromEntries(sent.map(({ name, schema, description }) => [name, { ...schema, description }]));
    return [make("details", "", make("summary", "", "Headers"), this.fields({ properties }, false))];
  }

  operation(path, method, { description, parameters, requestBody, responses }) {
    const heading = make("h2", "", make("span", "method", method.toUpperCase()), make("code", "", path));
    const answers = Object.entries(responses ?? {}).flatMap(([status, { content }]) => this.bodies(content, `Answer ${status}`, false));
    const fields = this.bodies(requestBody?.content, "Fields", true);
    const card = make("section", "card", heading, ...paragraphs(description), ...fields, ...this.headers(parameters), ...answers);
    card.id = `${method}${path}`;
    return card;
  }

  show() {
    $("summary").textContent = `${this.description.info.summary} The OpenAI SDK calls the route of edits unchanged.`;
    for (const [path, methods] of Object.entries(this.description.paths)) {
      for (const [method, operation] of Object.entries(methods)) {
        const link = make("a", "", make("span", "method", method.toUpperCase()), path);
        link.href = `#${method}${path}`;
        $("routes").append(link);
        $("operations").append(this.operation(path, method, operation));
      }
    }
  }
}

try {
  document.documentElement.dataset.theme = localStorage.getItem("retouch.theme") ?? "system";
} catch {
  // the browser keeps nothing, so the colours are the system's
}
const response = await fetch("openapi.json").catch(() => null);
if (response?.ok) new Document(await response.json()).show();
else $("summary").textContent = "The service cannot be reached.";
