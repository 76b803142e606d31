/** An input as a form or as JSON, whichever its user likes better; both show the same value. */
import { useId, useState } from "react";
import type { Json } from "../../api/json";
import { JsonInput, SchemaForm } from "./schema-form";
import { fieldOf } from "./schema";
import type { Schema } from "./schema";

interface Props {
  schema: Schema | null;
  value: Json | undefined;
  onChange: (value: Json | undefined) => void;
  problems: ReadonlyMap<string, string>;
}

export function InputEditor({ schema, value, onChange, problems }: Props) {
  const hasForm = schema !== null && fieldOf(schema, schema).kind === "object";
  const [isForm, setForm] = useState(hasForm);
  const id = useId();
  if (!hasForm || !isForm)
    return (
      <div className="field">
        <div className="side-row">
          <label htmlFor={id}>Input, as JSON</label>
          {hasForm && (
            <button type="button" className="button small bare" onClick={() => setForm(true)}>
              Edit as a form
            </button>
          )}
        </div>
        <JsonInput common={{ id }} value={value} onChange={onChange} />
        {[...problems].map(([place, problem]) => (
          <span key={place} className="problem">
            {place.slice(1).replaceAll("/", ".") || "Input"}: {problem}
          </span>
        ))}
      </div>
    );
  return (
    <div className="stack">
      <SchemaForm schema={schema} root={schema} value={value} onChange={onChange} problems={problems} />
      <div>
        <button type="button" className="button small bare" onClick={() => setForm(false)}>
          Edit as JSON
        </button>
      </div>
    </div>
  );
}
