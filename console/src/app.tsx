/** The frame around all pages: who is signed in, the way between pages, and what is said in passing. */
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { Suspense, lazy } from "react";
import { Route, Router, Switch } from "wouter";
import { ApiError } from "./api/client";
import { useSession } from "./api/session";
import { NOBODY, WhoContext, useWhoAmI } from "./api/who";
import { HomePage } from "./pages/home/home";
import { ExecutionsPage } from "./pages/executions/executions";
import { useHashPath } from "./routing/hash";
import { Empty, Loading, Problem } from "./ui/parts";
import { Shell } from "./ui/shell";
import { SignIn } from "./ui/sign-in";
import { Toasts } from "./ui/toasts";

const ExecutionPage = lazy(() => import("./pages/execution/execution"));
const StartPage = lazy(() => import("./pages/start/start"));
const WorkflowsPage = lazy(() => import("./pages/workflows/workflows"));
const WorkflowPage = lazy(() => import("./pages/workflows/workflow"));
const SchedulesPage = lazy(() => import("./pages/schedules/schedules"));
const SchedulePage = lazy(() => import("./pages/schedules/schedule"));
const DeploymentsPage = lazy(() => import("./pages/deployments/deployments"));
const DeploymentPage = lazy(() => import("./pages/deployments/deployment"));
const BatchesPage = lazy(() => import("./pages/batches/batches"));
const BatchPage = lazy(() => import("./pages/batches/batch"));
const InboxPage = lazy(() => import("./pages/inbox/inbox"));
const HistoryFilePage = lazy(() => import("./pages/history-file/history-file"));

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 1000,
      refetchOnWindowFocus: true,
      retry: (count, error) => count < 5 && error instanceof ApiError && (error.status === 0 || error.status >= 500),
    },
  },
});

export function App() {
  return (
    <QueryClientProvider client={queries}>
      <Router hook={useHashPath}>
        <SignedIn />
        <Toasts />
      </Router>
    </QueryClientProvider>
  );
}

function SignedIn() {
  const { key, isRefused } = useSession();
  const who = useWhoAmI(key);
  // A page that was there before the key was refused stays as it is, with all that is typed in it.
  const known = key === null ? undefined : who.data;
  return (
    <WhoContext value={known && !who.isPlaceholderData ? known : NOBODY}>
      <Shell>{known ? <Pages /> : key !== null && !isRefused ? <Unknown error={who.error} /> : null}</Shell>
      {(key === null || isRefused) && <SignIn isRefused={isRefused} />}
    </WhoContext>
  );
}

function Unknown({ error }: { error: Error | null }) {
  return error ? <Problem error={error} /> : <Loading />;
}

function Pages() {
  return (
    <Suspense fallback={<Loading />}>
      <Switch>
        <Route path="/" component={HomePage} />
        <Route path="/executions" component={ExecutionsPage} />
        <Route path="/executions/:id/:tab?" component={ExecutionPage} />
        <Route path="/start" component={StartPage} />
        <Route path="/workflows" component={WorkflowsPage} />
        <Route path="/workflows/:name" component={WorkflowPage} />
        <Route path="/schedules" component={SchedulesPage} />
        <Route path="/schedules/:id" component={SchedulePage} />
        <Route path="/deployments" component={DeploymentsPage} />
        <Route path="/deployments/:name" component={DeploymentPage} />
        <Route path="/batches" component={BatchesPage} />
        <Route path="/batches/:id" component={BatchPage} />
        <Route path="/inbox" component={InboxPage} />
        <Route path="/history-file" component={HistoryFilePage} />
        <Route>
          <Empty title="There is no such page">
            <a href="#/">Back to the start</a>
          </Empty>
        </Route>
      </Switch>
    </Suspense>
  );
}
