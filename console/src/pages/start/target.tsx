/** Which workflow is started, and by which deployment. Both stand in the address. */
import { useQuery } from "@tanstack/react-query";
import { get } from "../../api/client";
import type { Schemas } from "../../api/client";

interface Props {
  workflow: string;
  deployment: string;
  registrations: readonly Schemas["WorkflowRegistration"][];
  change: (changes: Record<string, string | null>) => void;
}

export function Target({ workflow, deployment, registrations, change }: Props) {
  const workflows = useQuery({
    queryKey: ["workflow-names"],
    queryFn: ({ signal }) => get("/v1/workflows", { query: { limit: 100 }, signal }),
  });
  const names = workflows.data?.workflows.map((one) => one.name) ?? [];
  const listed = workflow && !names.includes(workflow) ? [...names, workflow] : names;
  const about = workflows.data?.workflows.find((one) => one.name === workflow)?.description;
  return (
    <div className="card card-body columns">
      <div className="field">
        <label htmlFor="workflow">Workflow</label>
        <select id="workflow" className="select" value={workflow} onChange={(event) => change({ workflow: event.target.value, deployment: null, from: null })}>
          <option value="">Choose…</option>
          {listed.map((name) => (
            <option key={name} value={name}>
              {name}
            </option>
          ))}
        </select>
        {about && <span className="hint">{about}</span>}
      </div>
      <div className="field">
        <label htmlFor="deployment">Deployment</label>
        <select
          id="deployment"
          className="select"
          value={deployment}
          disabled={registrations.length === 0}
          onChange={(event) => change({ deployment: event.target.value })}
        >
          {registrations.length === 0 && <option value="">–</option>}
          {registrations.map((one) => (
            <option key={one.id} value={one.deployment_name ?? ""}>
              {one.deployment_name}
            </option>
          ))}
        </select>
      </div>
    </div>
  );
}
