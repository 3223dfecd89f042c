import type { CallOptions } from "@connectrpc/connect";

/** A list that is answered in pages. */
export type ListCall<Request, Response> = (request: Request, options?: CallOptions) => Promise<Response>;

/**
 * The pages of a list, one after another:
 *
 *     for await (const page of pages(herald.agent.listProspects, { pageSize: 200 })) show(page.prospects);
 */
export async function* pages<Request extends { pageToken?: string }, Response extends { nextPageToken: string }>(
  list: ListCall<Request, Response>,
  request: Request,
  options?: CallOptions,
): AsyncGenerator<Response, void> {
  for (let pageToken = request.pageToken ?? ""; ; ) {
    const page = await list({ ...request, pageToken }, options);
    yield page;
    if (page.nextPageToken === "") {
      return;
    }
    pageToken = page.nextPageToken;
  }
}
