/** The buttons that help an execution which waits: each says what it does before it does it. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { parseJson } from "../../api/json";
import { repair, repairPath } from "../../api/explain";
import type { Remedy, Wait } from "../../api/explain";
import { Dialog } from "../../ui/dialog";
import { Problem } from "../../ui/parts";
import { say } from "../../ui/toasts";
import { ResetDialog } from "./reset-dialog";
import type { Execution } from "./use-execution";

const REMEDIES: Partial<Record<Remedy, { label: string; done: string; needs: "nothing" | "result" | "failure" }>> = {
  retry: { label: "Retry now", done: "The next attempt begins now", needs: "nothing" },
  complete: { label: "Complete…", done: "Completed by hand", needs: "result" },
  fail: { label: "Fail…", done: "Failed by hand", needs: "failure" },
  resume: { label: "Resume", done: "It goes on", needs: "nothing" },
  skip: { label: "Skip the wait", done: "The timer fires now", needs: "nothing" },
};

/** A remedy that somebody has chosen, for the wait as it was then: it may have moved on meanwhile. */
export interface Chosen {
  remedy: Remedy;
  wait: Wait;
}

interface ButtonProps {
  remedy: Remedy;
  wait: Wait;
  execution: Execution;
  isDisabled: boolean;
  /** Opens the dialog of a remedy that asks for something. */
  onChoose: (chosen: Chosen) => void;
}

export function RemedyButton({ remedy, wait, execution, isDisabled, onChoose }: ButtonProps) {
  const known = REMEDIES[remedy];
  const path = repairPath(wait, remedy);
  const apply = useRepair(execution.execution_id, wait, path ?? "", known?.done ?? "Done");
  const isReset = remedy === "reset";
  if (!isReset && (!known || !path)) return null;
  const act = () => (known?.needs === "nothing" ? apply.mutate({}) : onChoose({ remedy, wait }));
  return (
    <>
      <button type="button" className="button small" disabled={isDisabled || apply.isPending} onClick={act}>
        {isReset ? "Reset…" : known?.label}
      </button>
      {apply.error && <Problem error={apply.error} />}
    </>
  );
}

export function RemedyDialog({ chosen, execution, onClose }: { chosen: Chosen; execution: Execution; onClose: () => void }) {
  const { remedy, wait } = chosen;
  const apply = useRepair(execution.execution_id, wait, repairPath(wait, remedy) ?? "", REMEDIES[remedy]?.done ?? "Done");
  if (remedy === "reset") return <ResetDialog executionId={execution.execution_id} onClose={onClose} />;
  return <OutcomeDialog kind={REMEDIES[remedy]?.needs ?? "failure"} wait={wait} apply={apply} onClose={onClose} />;
}

function useRepair(executionId: string, wait: Wait, path: string, done: string) {
  const queries = useQueryClient();
  return useMutation({
    mutationFn: (body: object) => repair(executionId, path, wait, body),
    onSuccess: () => {
      say(done);
      return queries.invalidateQueries({ queryKey: ["execution", executionId] });
    },
  });
}

interface OutcomeProps {
  kind: string;
  wait: Wait;
  apply: ReturnType<typeof useRepair>;
  onClose: () => void;
}

/** Asks for the result or the failure that is recorded in place of the one that does not come. */
function OutcomeDialog({ kind, wait, apply, onClose }: OutcomeProps) {
  const [text, setText] = useState(kind === "result" ? "null" : "");
  const [reason, setReason] = useState("");
  const [problem, setProblem] = useState<string | null>(null);
  const submit = () => {
    const why = reason ? { reason } : {};
    try {
      apply.mutate(kind === "result" ? { result: parseJson(text), ...why } : { message: text, ...why }, { onSuccess: onClose });
      setProblem(null);
    } catch (error) {
      setProblem(`This is no JSON: ${String(error)}`);
    }
  };
  return (
    <Dialog title={kind === "result" ? `Complete ${wait.name ?? wait.kind} by hand` : `Fail ${wait.name ?? wait.kind} by hand`} onClose={onClose}>
      <p className="quiet">The workflow sees this as the outcome. The history records that it was done by hand, by whom and why.</p>
      <div className="field">
        <label htmlFor="outcome">{kind === "result" ? "Result, as JSON" : "Message of the error"}</label>
        <textarea id="outcome" className="textarea" value={text} aria-invalid={problem !== null} onChange={(event) => setText(event.target.value)} />
        {problem && <span className="problem">{problem}</span>}
      </div>
      <div className="field">
        <label htmlFor="reason">Reason</label>
        <input id="reason" className="input" value={reason} onChange={(event) => setReason(event.target.value)} />
      </div>
      {apply.error && <Problem error={apply.error} />}
      <div className="buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        <button type="button" className="button primary" disabled={apply.isPending || !text} onClick={submit}>
          {kind === "result" ? "Complete" : "Fail"}
        </button>
      </div>
    </Dialog>
  );
}
