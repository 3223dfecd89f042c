// A page for users who sign in by Clerk: it shows their newest campaign as it goes on.
import { useAuth } from "@clerk/clerk-react";
import { createHeraldClient, HeraldError } from "@herald/client";
import { CampaignState } from "@herald/client/pb";
import { useEffect, useMemo, useState } from "react";

export function App({ baseUrl }: { baseUrl: string }) {
  const { getToken, isSignedIn } = useAuth();
  const herald = useMemo(() => createHeraldClient({ baseUrl, getToken }), [baseUrl, getToken]);
  const [state, setState] = useState("");
  const [log, setLog] = useState<string[]>([]);
  const [trouble, setTrouble] = useState("");

  useEffect(() => {
    if (!isSignedIn) {
      return;
    }
    const stop = new AbortController();
    const follow = async () => {
      for await (const item of herald.watch("", { signal: stop.signal })) {
        if (item.type === "snapshot") {
          setState(CampaignState[item.campaign.state]);
        } else if (item.type === "event" && item.event.kind.case === "stateChanged") {
          setState(CampaignState[item.event.kind.value.to]);
        } else if (item.type === "event" && item.event.kind.case === "logAdded") {
          const { text } = item.event.kind.value;
          setLog((lines) => [...lines, text]);
        }
        setTrouble(item.type === "disconnected" ? "Reconnecting…" : "");
      }
    };
    follow().catch((error) => setTrouble(error instanceof HeraldError ? error.message : String(error)));
    return () => stop.abort();
  }, [herald, isSignedIn]);

  if (!isSignedIn) {
    return <p>Please sign in.</p>;
  }
  return (
    <main>
      <h1>{state}</h1>
      {trouble && <p role="alert">{trouble}</p>}
      <ol>
        {log.map((line, n) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: lines are only ever appended
          <li key={n}>{line}</li>
        ))}
      </ol>
    </main>
  );
}
