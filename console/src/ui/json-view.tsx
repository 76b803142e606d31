/** A JSON value, whole and exact, with a button that copies it. Large ones are cut until somebody asks for all. */
import { useMemo, useState } from "react";
import { writeJson } from "../api/json";
import { Copy } from "./parts";

const SHOWN_CHARACTERS = 20_000;

export function JsonView({ value, label }: { value: unknown; label: string }) {
  const text = useMemo(() => writeJson(value, 2), [value]);
  const [isWhole, setWhole] = useState(false);
  const isCut = text.length > SHOWN_CHARACTERS && !isWhole;
  return (
    <div className="json-box">
      <pre className="json" tabIndex={0} role="region" aria-label={label}>
        {isCut ? text.slice(0, SHOWN_CHARACTERS) : text}
      </pre>
      <Copy text={text} label={`Copy ${label.toLowerCase()}`} />
      {isCut && (
        <button type="button" className="button small" onClick={() => setWhole(true)}>
          Show all {text.length.toLocaleString()} characters
        </button>
      )}
    </div>
  );
}
