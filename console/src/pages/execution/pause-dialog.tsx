/** Asks why an execution is to be paused, and says what that means. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { post } from "../../api/client";
import { Dialog } from "../../ui/dialog";
import { Problem } from "../../ui/parts";
import { say } from "../../ui/toasts";

export function PauseDialog({ id, onClose }: { id: string; onClose: () => void }) {
  const queries = useQueryClient();
  const [reason, setReason] = useState("");
  const pausing = useMutation({
    mutationFn: () =>
      post("/v1/workflows/executions/{execution_id}/pause", { params: { execution_id: id }, body: reason ? { reason } : {} }),
    onSuccess: async () => {
      say("It is paused");
      await queries.invalidateQueries({ queryKey: ["execution", id] });
      onClose();
    },
  });
  return (
    <Dialog title="Pause the execution?" onClose={onClose}>
      <p>No further step is recorded, and no activity begins, until somebody resumes it. What runs now ends. Timers and its time limit go on.</p>
      <div className="field">
        <label htmlFor="reason">Reason</label>
        <input id="reason" className="input" value={reason} onChange={(event) => setReason(event.target.value)} />
      </div>
      {pausing.error && <Problem error={pausing.error} />}
      <div className="buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        <button type="button" className="button primary" disabled={pausing.isPending} onClick={() => pausing.mutate()}>
          Pause it
        </button>
      </div>
    </Dialog>
  );
}
