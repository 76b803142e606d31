/** What can be done with a whole execution. What cannot be taken back asks first. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { Link } from "wouter";
import { post } from "../../api/client";
import { useWho } from "../../api/who";
import { Dialog } from "../../ui/dialog";
import { Problem } from "../../ui/parts";
import { say } from "../../ui/toasts";
import { CommandsDialog, quoted } from "./commands";
import { PauseDialog } from "./pause-dialog";
import { ResetDialog } from "./reset-dialog";
import type { Execution } from "./use-execution";

type Open = "pause" | "cancel" | "terminate" | "reset" | "commands" | null;

export function Actions({ execution }: { execution: Execution }) {
  const [open, setOpen] = useState<Open>(null);
  const { mayWrite } = useWho();
  const isOpen = execution.status === "RUNNING";
  const id = execution.execution_id;
  const close = () => setOpen(null);
  return (
    <div className="buttons">
      <button type="button" className="button" onClick={() => setOpen("commands")}>
        Copy as…
      </button>
      {mayWrite ? (
        <Link className="button" href={`/start?from=${encodeURIComponent(id)}`}>
          Run again…
        </Link>
      ) : (
        <button type="button" className="button" disabled title="A viewer's key changes nothing">
          Run again…
        </button>
      )}
      <button type="button" className="button" disabled={!mayWrite} onClick={() => setOpen("reset")}>
        Reset…
      </button>
      {isOpen && (
        <>
          {!execution.paused_at && (
            <button type="button" className="button" disabled={!mayWrite} onClick={() => setOpen("pause")}>
              Pause…
            </button>
          )}
          <button type="button" className="button" disabled={!mayWrite} onClick={() => setOpen("cancel")}>
            Cancel…
          </button>
          <button type="button" className="button danger" disabled={!mayWrite} onClick={() => setOpen("terminate")}>
            Terminate…
          </button>
        </>
      )}
      {(open === "cancel" || open === "terminate") && <EndDialog verb={open} id={id} onClose={close} />}
      {open === "pause" && <PauseDialog id={id} onClose={close} />}
      {open === "reset" && <ResetDialog executionId={id} onClose={close} />}
      {open === "commands" && <CommandsDialog call={callOf(execution)} onClose={close} />}
    </div>
  );
}

function callOf(execution: Execution) {
  const id = execution.execution_id;
  return {
    title: "Look at this execution elsewhere",
    cli: `levante executions get ${quoted(id)}`,
    method: "GET",
    path: "/v1/workflows/executions/{execution_id}",
    params: { execution_id: id },
  };
}

const ENDS = {
  cancel: { title: "Cancel the execution?", text: "Its workflow is asked to end, and may clean up first.", button: "Cancel it", done: "It is asked to end" },
  terminate: { title: "Terminate the execution?", text: "It ends at once. Its workflow code gets no say, and nothing is cleaned up.", button: "Terminate it", done: "Terminated" },
};

function EndDialog({ verb, id, onClose }: { verb: "cancel" | "terminate"; id: string; onClose: () => void }) {
  const queries = useQueryClient();
  const words = ENDS[verb];
  const ending = useMutation({
    mutationFn: (): Promise<unknown> => post(`/v1/workflows/executions/{execution_id}/${verb}`, { params: { execution_id: id } }),
    onSuccess: async () => {
      say(words.done);
      await queries.invalidateQueries({ queryKey: ["execution", id] });
      onClose();
    },
  });
  return (
    <Dialog title={words.title} onClose={onClose}>
      <p>{words.text}</p>
      <p className="mono">{id}</p>
      {ending.error && <Problem error={ending.error} />}
      <div className="buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        <button type="button" className="button danger" disabled={ending.isPending} onClick={() => ending.mutate()}>
          {words.button}
        </button>
      </div>
    </Dialog>
  );
}
