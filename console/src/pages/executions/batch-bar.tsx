/** Ends several executions at once, after a question, and says how each of them took it. */
import { useMutation, useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { post } from "../../api/client";
import type { Schemas } from "../../api/client";
import { Dialog } from "../../ui/dialog";
import { Problem } from "../../ui/parts";
import { say } from "../../ui/toasts";

type Verb = "cancel" | "terminate";
const WHAT: Record<Verb, string> = {
  cancel: "Each workflow is asked to end, and may clean up first.",
  terminate: "Each ends at once. Its workflow code gets no say, and nothing is cleaned up.",
};

export function BatchBar({ selected, onDone }: { selected: ReadonlySet<string>; onDone: () => void }) {
  const [verb, setVerb] = useState<Verb | null>(null);
  return (
    <div className="note">
      <span>{selected.size === 1 ? "1 execution selected" : `${selected.size} executions selected`}</span>
      <div className="buttons">
        <button type="button" className="button small" onClick={() => setVerb("cancel")}>
          Cancel…
        </button>
        <button type="button" className="button small danger" onClick={() => setVerb("terminate")}>
          Terminate…
        </button>
        <button type="button" className="button small bare" onClick={onDone}>
          Clear the selection
        </button>
      </div>
      {verb && <Question verb={verb} ids={[...selected]} onClose={() => setVerb(null)} onDone={onDone} />}
    </div>
  );
}

interface QuestionProps {
  verb: Verb;
  ids: string[];
  onClose: () => void;
  onDone: () => void;
}

function Question({ verb, ids, onClose, onDone }: QuestionProps) {
  const queries = useQueryClient();
  const ending = useMutation({
    mutationFn: (): Promise<Schemas["BatchExecutionResponse"]> =>
      post(`/v1/workflows/executions/${verb}`, { body: { execution_ids: ids } }),
    onSuccess: async (answer) => {
      const failed = Object.values(answer.results).filter((one) => one.error);
      const done = ids.length - failed.length;
      if (failed.length) say(`${done} of ${ids.length} done. ${failed[0]?.error ?? ""}`, "bad");
      else say(verb === "cancel" ? `${done} asked to end` : `${done} terminated`);
      await queries.invalidateQueries({ queryKey: ["runs"] });
      onClose();
      onDone();
    },
  });
  return (
    <Dialog title={`${verb === "cancel" ? "Cancel" : "Terminate"} ${ids.length} executions?`} onClose={onClose}>
      <p>{WHAT[verb]}</p>
      <pre className="json">{ids.join("\n")}</pre>
      {ending.error && <Problem error={ending.error} />}
      <div className="buttons">
        <button type="button" className="button" onClick={onClose}>
          Back
        </button>
        <button type="button" className="button danger" disabled={ending.isPending} onClick={() => ending.mutate()}>
          {verb === "cancel" ? "Cancel them" : "Terminate them"}
        </button>
      </div>
    </Dialog>
  );
}
