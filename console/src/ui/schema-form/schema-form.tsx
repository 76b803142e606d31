/** A form for a value that a JSON schema describes. What the form cannot show is edited as JSON, in its place. */
import { useId, useState } from "react";
import type { ReactNode } from "react";
import { isNumber, isObject, parseJson, writeJson } from "../../api/json";
import type { Json } from "../../api/json";
import { fieldOf, initialValue, typedNumber } from "./schema";
import type { Field, Schema } from "./schema";

interface Props {
  schema: Schema;
  root: Schema;
  value: Json | undefined;
  onChange: (value: Json | undefined) => void;
  problems: ReadonlyMap<string, string>;
  name?: string;
  place?: string;
  isRequired?: boolean;
}

export function SchemaForm(props: Props) {
  const field = fieldOf(props.schema, props.root);
  if (field.kind === "object") return <ObjectFields {...props} field={field} />;
  if (field.kind === "list") return <ListFields {...props} field={field} />;
  return <OneField {...props} field={field} />;
}

function titleOf(props: Props): string {
  return props.name ?? "Value";
}

function ObjectFields({ field, ...props }: Props & { field: Extract<Field, { kind: "object" }> }) {
  const value = isObject(props.value) ? props.value : {};
  const required = Array.isArray(field.schema.required) ? field.schema.required : [];
  const members = field.members.map(([name, schema]) => (
    <SchemaForm
      key={name}
      {...props}
      schema={schema}
      name={name}
      place={`${props.place ?? ""}/${name}`}
      isRequired={required.includes(name)}
      value={value[name]}
      onChange={(changed) => {
        const { [name]: _, ...rest } = value;
        props.onChange(changed === undefined ? rest : { ...value, [name]: changed });
      }}
    />
  ));
  if (props.name === undefined) return <div className="stack">{members}</div>;
  return (
    <fieldset className="field nested">
      <legend>{titleOf(props)}</legend>
      <div className="stack">{members}</div>
    </fieldset>
  );
}

function ListFields({ field, ...props }: Props & { field: Extract<Field, { kind: "list" }> }) {
  const values = Array.isArray(props.value) ? props.value : [];
  return (
    <fieldset className="field nested">
      <legend>{titleOf(props)}</legend>
      <div className="stack">
        {values.map((one, index) => (
          <div key={index} className="list-item">
            <SchemaForm
              {...props}
              schema={field.items}
              name={`${titleOf(props)} ${index + 1}`}
              place={`${props.place ?? ""}/${index}`}
              isRequired
              value={one}
              onChange={(changed) => props.onChange(values.map((other, place) => (place === index ? (changed ?? null) : other)))}
            />
            <button type="button" className="button small bare" onClick={() => props.onChange(values.filter((_, place) => place !== index))}>
              Remove<span className="hidden-visually"> {titleOf(props)} {index + 1}</span>
            </button>
          </div>
        ))}
        <div>
          <button type="button" className="button small" onClick={() => props.onChange([...values, initialValue(field.items, props.root)])}>
            Add to {titleOf(props)}
          </button>
        </div>
      </div>
    </fieldset>
  );
}

function OneField({ field, ...props }: Props & { field: Field }) {
  const id = useId();
  const problem = props.problems.get(props.place ?? "");
  const common = { id, "aria-invalid": problem ? true : undefined, "aria-describedby": `${id}-hint`, required: props.isRequired && field.kind !== "text" };
  const hint = field.schema.description ? String(field.schema.description) : "";
  const more = props.isRequired || field.kind === "boolean" ? null : <span className="label-more"> optional</span>;
  if (field.kind === "boolean")
    return (
      <div className="field">
        <label className="check">
          <input type="checkbox" id={id} aria-describedby={`${id}-hint`} checked={props.value === true} onChange={(event) => props.onChange(event.target.checked)} />
          {titleOf(props)}
        </label>
        <Below id={id} hint={hint} problem={problem} />
      </div>
    );
  return (
    <div className="field">
      <label htmlFor={id}>
        {titleOf(props)}
        {more}
      </label>
      <Control field={field} common={common} value={props.value} onChange={props.onChange} />
      <Below id={id} hint={hint} problem={problem} />
    </div>
  );
}

function Below({ id, hint, problem }: { id: string; hint: string; problem?: string }) {
  return (
    <span id={`${id}-hint`}>
      {hint && <span className="hint">{hint}</span>} {problem && <span className="problem">{problem}</span>}
    </span>
  );
}

interface ControlProps {
  field: Field;
  common: { id: string };
  value: Json | undefined;
  onChange: (value: Json | undefined) => void;
}

function Control({ field, common, value, onChange }: ControlProps): ReactNode {
  const empty = field.isNullable ? null : undefined;
  switch (field.kind) {
    case "choice":
      return (
        <select {...common} className="select" value={writeJson(value ?? null)} onChange={(event) => onChange(parseJson(event.target.value))}>
          {field.isNullable && <option value="null">–</option>}
          {field.options.map((one) => (
            <option key={writeJson(one)} value={writeJson(one)}>
              {String(one)}
            </option>
          ))}
        </select>
      );
    case "integer":
    case "number":
      return <NumberInput {...{ common, value, onChange, empty }} />;
    case "text":
    case "long": {
      const text = typeof value === "string" ? value : "";
      const change = (typed: string) => onChange(typed === "" && field.isNullable ? null : typed);
      if (field.kind === "long") return <textarea {...common} className="textarea" value={text} onChange={(event) => change(event.target.value)} />;
      return <input {...common} className="input" value={text} onChange={(event) => change(event.target.value)} />;
    }
    default:
      return <JsonInput {...{ common, value, onChange }} />;
  }
}

interface TypedProps {
  common: { id: string };
  value: Json | undefined;
  onChange: (value: Json | undefined) => void;
  empty?: null | undefined;
}

function NumberInput({ common, value, onChange, empty }: TypedProps) {
  const [text, setText] = useState(isNumber(value) ? writeJson(value) : "");
  const change = (typed: string) => {
    setText(typed);
    // What is no number yet is passed on as it is, for the check to say so.
    onChange(typed === "" ? empty : (typedNumber(typed) ?? typed));
  };
  return <input {...common} className="input number" inputMode="decimal" value={text} onChange={(event) => change(event.target.value)} />;
}

export function JsonInput({ common, value, onChange }: TypedProps) {
  const [text, setText] = useState(value === undefined ? "" : writeJson(value, 2));
  const [problem, setProblem] = useState<string | null>(null);
  const change = (typed: string) => {
    setText(typed);
    try {
      onChange(typed.trim() === "" ? undefined : parseJson(typed));
      setProblem(null);
    } catch (error) {
      setProblem(error instanceof Error ? error.message : String(error));
    }
  };
  return (
    <>
      <textarea {...common} className="textarea" spellCheck={false} value={text} aria-invalid={problem !== null} onChange={(event) => change(event.target.value)} />
      {problem && <span className="problem">This is no JSON: {problem}</span>}
    </>
  );
}
