// In the place of @clerk/clerk-react and of Clerk's script: somebody who is signed in, whose tokens come from where the page says.
import { useMemo } from "react";
import { createRoot } from "react-dom/client";
import { App } from "../examples/react/App.js";

const parameters = new URLSearchParams(location.search);

export function useAuth() {
  return useMemo(() => ({ isSignedIn: true, getToken: async () => (await fetch(parameters.get("tokens") ?? "")).text() }), []);
}

createRoot(document.body.appendChild(document.createElement("div"))).render(<App baseUrl={parameters.get("herald") ?? ""} />);
