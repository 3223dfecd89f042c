import { create, type DescMethodUnary, type JsonValue, type MessageInitShape, toJson } from "@bufbuild/protobuf";

/**
 * What names a call in a cache of answers, such as react-query's: JSON through and through, the same for the same request.
 *
 *     useQuery({ queryKey: queryKey(AgentService.method.getProspect, { prospectId }), … })
 */
export function queryKey<M extends DescMethodUnary>(method: M, request: MessageInitShape<M["input"]>): [string, JsonValue] {
  return [`${method.parent.typeName}/${method.name}`, toJson(method.input, create(method.input, request))];
}
