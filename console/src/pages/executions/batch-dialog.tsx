/** Does the same to all executions that the filter finds: what, to how many, and why; the server does the rest. */
import { useMutation, useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { useLocation } from "wouter";
import { post } from "../../api/client";
import type { Schemas } from "../../api/client";
import { parseJson } from "../../api/json";
import { Dialog } from "../../ui/dialog";
import { Loading, Problem } from "../../ui/parts";
import { ACTIONS } from "../batches/jobs";
import type { Kind } from "../batches/jobs";
import type { RunsQuery } from "./runs";

type Body = Schemas["BatchStartBody"];

/** The conditions of the list, without what only the list needs. */
function filterFrom(query: RunsQuery): Body["filter"] {
  const { include_blockers: _blockers, page_size: _size, next_page_token: _token, ...filter } = { ...query };
  return Object.fromEntries(Object.entries(filter).filter(([, value]) => value !== undefined)) as Body["filter"];
}

export function BatchDialog({ query, onClose }: { query: RunsQuery; onClose: () => void }) {
  const [, go] = useLocation();
  const [kind, setKind] = useState<Kind>("retry");
  const [signal, setSignal] = useState({ name: "", input: "" });
  const [reason, setReason] = useState("");
  const [batchId] = useState(newId);
  const filter = filterFrom(query);
  const preview = useQuery({
    queryKey: ["batch-preview", filter],
    queryFn: ({ signal: aborted }) => post("/v1/batches/preview", { body: { filter }, signal: aborted }),
  });
  const starting = useMutation({
    mutationFn: () => post("/v1/batches", { body: { ...bodyOf(kind, signal, reason, filter), batch_id: batchId } }),
    onSuccess: (job) => go(`/batches/${job.batch_id}`),
  });
  const found = preview.data;
  return (
    <Dialog title="Do the same to all that match" onClose={onClose}>
      {preview.error && <Problem error={preview.error} />}
      {found ? <p>{found.is_complete ? `${found.matched} executions match.` : `More than ${found.matched} executions match.`}</p> : <Loading rows={1} />}
      <div className="field">
        <label htmlFor="action">What</label>
        <select id="action" className="select" value={kind} onChange={(event) => setKind(event.target.value as Kind)}>
          {Object.entries(ACTIONS).map(([key, { name }]) => (
            <option key={key} value={key}>
              {name}
            </option>
          ))}
        </select>
        <p className="quiet">{ACTIONS[kind].means}</p>
      </div>
      {kind === "signal" && <SignalFields signal={signal} change={setSignal} />}
      <div className="field">
        <label htmlFor="reason">Reason</label>
        <input id="reason" className="input" value={reason} onChange={(event) => setReason(event.target.value)} />
      </div>
      {starting.error && <Problem error={starting.error} />}
      <div className="buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        <button
          type="button"
          className={kind === "terminate" ? "button danger" : "button primary"}
          disabled={!found?.matched || starting.isPending || (kind === "signal" && !signal.name)}
          onClick={() => starting.mutate()}
        >
          {ACTIONS[kind].name}: {found?.matched ?? 0} executions
        </button>
      </div>
    </Dialog>
  );
}

/** One for each dialog: whoever presses the button again, because no answer came, starts the same job. */
function newId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

interface Signal {
  name: string;
  input: string;
}

function SignalFields({ signal, change }: { signal: Signal; change: (signal: Signal) => void }) {
  return (
    <>
      <div className="field">
        <label htmlFor="signal">Name of the signal</label>
        <input id="signal" className="input" value={signal.name} onChange={(event) => change({ ...signal, name: event.target.value })} />
      </div>
      <div className="field">
        <label htmlFor="input">Input, a JSON object; empty for none</label>
        <textarea id="input" className="textarea" value={signal.input} onChange={(event) => change({ ...signal, input: event.target.value })} />
      </div>
    </>
  );
}

/** Throws where the input is no JSON, which is shown like an error of the server. */
function bodyOf(kind: Kind, signal: Signal, reason: string, filter: Body["filter"]): Body {
  const action = (kind === "signal" ? { kind, name: signal.name } : { kind }) as Body["action"];
  const isEverything = Object.keys(filter ?? {}).length === 0;
  const input = kind === "signal" && signal.input.trim() ? { input: parseJson(signal.input) as Body["input"] } : {};
  return { filter, action, ...input, ...(reason ? { reason } : {}), ...(isEverything ? { everything: true } : {}) } as Body;
}
