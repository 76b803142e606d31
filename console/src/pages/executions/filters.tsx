/** Filters of the list. They stand in the address, so a link shows the same. */
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { get } from "../../api/client";

const STATUSES: readonly [string, string][] = [
  ["", "Any status"],
  ["RUNNING", "Running"],
  ["COMPLETED", "Completed"],
  ["FAILED,TIMED_OUT", "Failed or timed out"],
  ["CANCELED,TERMINATED", "Canceled or terminated"],
];
const PERIODS: readonly [string, string][] = [
  ["", "Any time"],
  ["1", "Last hour"],
  ["24", "Last day"],
  ["168", "Last week"],
];
const TYPING_MILLISECONDS = 250;

interface Props {
  address: URLSearchParams;
  change: (changes: Record<string, string | null>) => void;
}

export function Filters({ address, change }: Props) {
  const workflows = useQuery({
    queryKey: ["workflow-names"],
    queryFn: ({ signal }) => get("/v1/workflows", { query: { limit: 100 }, signal }),
    staleTime: 60_000,
  });
  const names = workflows.data?.workflows.map((one) => one.name) ?? [];
  const workflow = address.get("workflow") ?? "";
  return (
    <div className="filters" role="search">
      <SearchBox text={address.get("q") ?? ""} change={(text) => change({ q: text })} />
      <Choice label="Status" value={address.get("status") ?? ""} options={STATUSES} onChange={(status) => change({ status })} />
      <Choice
        label="Workflow"
        value={workflow}
        options={[["", "Any workflow"], ...[...new Set([...names, ...(workflow ? [workflow] : [])])].map((name): [string, string] => [name, name])]}
        onChange={(chosen) => change({ workflow: chosen })}
      />
      <Choice label="Started" value={address.get("hours") ?? ""} options={PERIODS} onChange={(hours) => change({ hours })} />
      <label className="check">
        <input
          type="checkbox"
          checked={address.get("blocked") === "1"}
          onChange={(event) => change({ blocked: event.target.checked ? "1" : null })}
        />
        Stuck only
      </label>
      {address.get("root") && (
        <button type="button" className="button small" onClick={() => change({ root: null })}>
          Below {address.get("root")} ✕
        </button>
      )}
      {address.get("deployment") && (
        <button type="button" className="button small" onClick={() => change({ deployment: null })}>
          Deployment {address.get("deployment")} ✕
        </button>
      )}
    </div>
  );
}

/** Waits until the typing pauses. */
function SearchBox({ text, change }: { text: string; change: (text: string) => void }) {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => change(typed), TYPING_MILLISECONDS);
    return () => clearTimeout(timer);
  });
  return (
    <input
      className="input"
      type="search"
      aria-label="Search"
      placeholder="Id, workflow or key:value"
      value={typed}
      onChange={(event) => setTyped(event.target.value)}
    />
  );
}

interface ChoiceProps {
  label: string;
  value: string;
  options: readonly (readonly [string, string])[];
  onChange: (value: string) => void;
}

function Choice({ label, value, options, onChange }: ChoiceProps) {
  return (
    <select className="select" aria-label={label} value={value} onChange={(event) => onChange(event.target.value)}>
      {options.map(([one, name]) => (
        <option key={one} value={one}>
          {name}
        </option>
      ))}
      {!options.some(([one]) => one === value) && <option value={value}>{value}</option>}
    </select>
  );
}
