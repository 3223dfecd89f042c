// node.mjs URL USER: a Node backend that lists its prospects and follows its newest campaign.
//
// Against a real deployment, give getToken in the place of userId.
import { createHeraldClient, HeraldError, pages } from "@herald/client";

const [baseUrl = "http://127.0.0.1:50051", userId = "user_a"] = process.argv.slice(2);
const herald = createHeraldClient({ baseUrl, userId });

const { caller } = await herald.tenant.getCaller({});
console.log(`I am ${caller.subject} of tenant ${caller.tenantId}`);
await herald.agent.batchCreateProspects({ prospects: [{ email: "ines.duarte@estufas-duarte.example", company: "Estufas Duarte" }] });
for await (const page of pages(herald.agent.listProspects, { pageSize: 100 })) {
  for (const { email, company } of page.prospects) {
    console.log(`${email}  ${company}`);
  }
}
try {
  for await (const item of herald.watch()) {
    console.log(item.type, item.type === "event" ? (item.event.kind.case ?? "") : "");
  }
} catch (error) {
  if (!(error instanceof HeraldError && error.reason === "NO_CAMPAIGN")) {
    throw error;
  }
  console.log("no campaign was started yet");
}
