/** Opens a history from a file: nothing of it leaves this page, and no server is asked. */
import { useState } from "react";
import type { ChangeEvent, DragEvent } from "react";
import { isObject, parseJson } from "../../api/json";
import type { Json } from "../../api/json";
import { Card, Empty, Facts, Problem, Status } from "../../ui/parts";
import { History } from "../execution/history";
import { Timeline } from "../execution/timeline";
import type { HistoryEvent } from "../execution/events";

interface Opened {
  name: string;
  head: { [name: string]: Json };
  events: HistoryEvent[];
}

export default function HistoryFilePage() {
  const [opened, setOpened] = useState<Opened | null>(null);
  const [problem, setProblem] = useState<Error | null>(null);
  const open = async (file: File | undefined) => {
    if (!file) return;
    try {
      setOpened(readHistory(file.name, await file.text()));
      setProblem(null);
    } catch (error) {
      setProblem(error instanceof Error ? error : new Error(String(error)));
    }
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    void open(event.dataTransfer.files[0]);
  };
  return (
    <div className="page" onDragOver={(event) => event.preventDefault()} onDrop={drop}>
      <div className="page-head">
        <div>
          <h1>History file</h1>
          <p>Looks at a history that was saved before. It stays in this page.</p>
        </div>
        {opened && <FileButton onChange={open} label="Open another file" />}
      </div>
      {problem && <Problem error={problem} />}
      {!opened && (
        <Card>
          <Empty title="Drop a history here">
            <p>
              From the button Download of an execution, or <code>levante executions history ID --json</code>.
            </p>
            <div className="buttons">
              <FileButton onChange={open} label="Choose a file" />
            </div>
          </Empty>
        </Card>
      )}
      {opened && <Shown opened={opened} />}
    </div>
  );
}

function FileButton({ onChange, label }: { onChange: (file: File | undefined) => Promise<void>; label: string }) {
  return (
    <label className="button file-button">
      {label}
      <input className="hidden-visually" type="file" accept=".json,application/json" onChange={(event: ChangeEvent<HTMLInputElement>) => void onChange(event.target.files?.[0])} />
    </label>
  );
}

function Shown({ opened }: { opened: Opened }) {
  const { head, events } = opened;
  const isOver = head.status !== undefined && head.status !== "RUNNING";
  return (
    <>
      <div className="card card-body">
        <Facts
          facts={[
            ["File", opened.name],
            ["Execution", head.execution_id ? String(head.execution_id) : null],
            ["Run", head.run_id ? String(head.run_id) : null],
            ["Status", head.status ? <Status status={String(head.status)} /> : null],
          ]}
        />
      </div>
      <Card title="Timeline">
        <Timeline events={events} endedAt={isOver || events.length ? (events.at(-1)?.recorded_at ?? null) : null} />
      </Card>
      <History events={events} />
    </>
  );
}

/** Raises: Error, with what is wrong with the file. */
export function readHistory(name: string, text: string): Opened {
  let value: Json;
  try {
    value = parseJson(text);
  } catch (error) {
    throw new Error(`${name} is no JSON: ${error instanceof Error ? error.message : String(error)}`);
  }
  const head = isObject(value) ? value : {};
  const events = Array.isArray(value) ? value : head.events;
  if (!Array.isArray(events) || !events.every((one) => isObject(one) && typeof one.kind === "string" && typeof one.recorded_at === "string"))
    throw new Error(`${name} is no history: it has no list of events, each with its kind and the time when it was recorded.`);
  return { name, head, events: events as unknown as HistoryEvent[] };
}
