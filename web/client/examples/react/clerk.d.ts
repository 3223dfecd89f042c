// What the example uses of @clerk/clerk-react, which is not installed here.
declare module "@clerk/clerk-react" {
  export function useAuth(): {
    isSignedIn: boolean | undefined;
    getToken: (options?: { skipCache?: boolean }) => Promise<string | null>;
  };
}
