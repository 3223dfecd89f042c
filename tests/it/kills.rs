//! Acknowledged means on the disk: a server under a load of writes and campaigns dies by SIGKILL at a place chosen by a
//! seed; when it is back, all that was answered is there, what was not is there wholly or not at all, a request that is
//! made again is done once, campaigns go on to their end, and nothing is sent twice.

use std::collections::HashMap;

use herald::cli::Api;
use herald::pb::{self, CampaignState};

use crate::support::kill::{Kill, assert_whole, killed};
use crate::support::process::Server;
use crate::support::site::{self, html};
use crate::support::{Seeded, deep, eml_files, folder, outbox, reaches, seeds};

/// The tenants that write, and those that run campaigns.
const WRITERS: usize = 4;
const CAMPAIGNERS: usize = 2;
/// The rows of a batch, and the prospects of a campaign.
const BATCH: usize = 3;
/// Each tenant writes so often at most; the server is dead by then.
const ROUNDS: usize = 400;

/// What a tenant was answered, and what it had asked for when nothing was answered any more.
#[derive(Default)]
struct Ledger {
    user: String,
    /// The id of each address that was created.
    created: HashMap<String, String>,
    /// The batch that was not answered.
    asked: Option<pb::BatchCreateProspectsRequest>,
    /// The last answered and the last asked value of its configuration.
    place: (String, String),
    /// The same of its first prospect.
    company: (String, String),
    /// The addresses whose suppression was answered.
    suppressed: Vec<String>,
}

fn batch(user: &str, round: usize) -> pb::BatchCreateProspectsRequest {
    let prospect = |n| pb::Prospect {
        email: format!("p{n}.{round}@{user}.example"),
        company: format!("Company {n}"),
        ..Default::default()
    };
    pb::BatchCreateProspectsRequest {
        prospects: (0..BATCH).map(prospect).collect(),
        request_id: format!("request {round}"),
    }
}

// === impl Ledger ===

impl Ledger {
    fn note(&mut self, asked: &pb::BatchCreateProspectsRequest, answer: pb::BatchCreateProspectsResponse) {
        let ids = answer.results.into_iter().map(|result| result.prospect_id);
        self.created.extend(asked.prospects.iter().map(|prospect| prospect.email.clone()).zip(ids));
    }

    /// Writes until nothing is answered any more.
    async fn write(mut self, mut api: Api) -> Self {
        for round in 0..ROUNDS {
            let request = batch(&self.user, round);
            self.asked = Some(request.clone());
            let Ok(answer) = api.agent.batch_create_prospects(request.clone()).await else { return self };
            self.note(&request, answer.into_inner());
            self.asked = None;

            self.place.1 = format!("place {round}");
            let config = pb::AgentConfig { location: self.place.1.clone(), ..Default::default() };
            let update = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
            if api.agent.update_agent_config(update).await.is_err() {
                return self;
            }
            self.place.0.clone_from(&self.place.1);

            self.company.1 = format!("company {round}");
            let id = self.created[&batch(&self.user, 0).prospects[0].email].clone();
            let prospect = pb::Prospect { id, company: self.company.1.clone(), ..Default::default() };
            let update = pb::UpdateProspectRequest { prospect: Some(prospect), update_mask: None };
            if api.agent.update_prospect(update).await.is_err() {
                return self;
            }
            self.company.0.clone_from(&self.company.1);

            let email = format!("never{round}@{}.example", self.user);
            let suppression = pb::Suppression { email: email.clone(), ..Default::default() };
            let add = pb::AddSuppressionsRequest { suppressions: vec![suppression], request_id: String::new() };
            if api.agent.add_suppressions(add).await.is_err() {
                return self;
            }
            self.suppressed.push(email);
        }
        self
    }

    /// Compares what is there with what was answered.
    async fn check(mut self, mut api: Api, kill: Kill) {
        let user = self.user.clone();
        let there = self.there(&mut api).await;
        for (email, id) in &self.created {
            assert_eq!(there.get(email), Some(id), "{kill}: {email} of {user} was acknowledged");
        }
        if let Some(asked) = self.asked.take() {
            let found = asked.prospects.iter().filter(|prospect| there.contains_key(&prospect.email)).count();
            assert!(found == 0 || found == BATCH, "{kill}: {found} rows of a batch of {BATCH} of {user}");
            // Made again under its name, it is done once.
            let answer = api.agent.batch_create_prospects(asked.clone()).await.expect("it is back").into_inner();
            assert_eq!(answer.created_count as usize, BATCH, "{kill}: the result of the first time");
            self.note(&asked, answer);
        }
        let there = self.there(&mut api).await;
        assert_eq!(there, self.created, "{kill}: the prospects of {user}");
        if let Some(id) = self.created.get(&batch(&user, 0).prospects[0].email) {
            let get = pb::GetProspectRequest { prospect_id: id.clone(), view: 0 };
            let prospect = api.agent.get_prospect(get).await.expect("it is there").into_inner().prospect;
            let (answered, asked) = &self.company;
            let company = prospect.expect("a prospect").company;
            let first = answered.is_empty() && company == "Company 0";
            assert!(first || company == *answered || company == *asked, "{kill}: {company}, not {:?}", self.company);
        }
        let config = api.agent.get_agent_config(pb::GetAgentConfigRequest {}).await.expect("it is there");
        let location = config.into_inner().config.expect("a configuration").location;
        let list = pb::ListSuppressionsRequest { page_size: 1_000, ..Default::default() };
        let list = api.agent.list_suppressions(list).await.expect("a list").into_inner().suppressions;
        for email in &self.suppressed {
            assert!(list.iter().any(|there| there.email == *email), "{kill}: the suppression of {email}");
        }
        assert!(location == self.place.0 || location == self.place.1, "{kill}: {location}, not {:?}", self.place);
    }

    /// Every prospect's address and id.
    async fn there(&self, api: &mut Api) -> HashMap<String, String> {
        let mut found = HashMap::new();
        let mut page_token = String::new();
        loop {
            let page = pb::ListProspectsRequest { page_size: 1_000, page_token, ..Default::default() };
            let page = api.agent.list_prospects(page).await.expect("a list").into_inner();
            found.extend(page.prospects.into_iter().map(|prospect| (prospect.email, prospect.id)));
            page_token = page.next_page_token;
            if page_token.is_empty() {
                return found;
            }
        }
    }
}

/// Runs one campaign after the other until nothing is answered any more; how many were acknowledged.
async fn campaign(mut api: Api, user: String, website: String) -> usize {
    let mut started = 0;
    let config = pb::AgentConfig { auto_approve: true, ..Default::default() };
    let update = pb::UpdateAgentConfigRequest { config: Some(config), update_mask: None };
    if api.agent.update_agent_config(update).await.is_err() {
        return started;
    }
    for round in 0.. {
        let create = batch(&user, round);
        if api.agent.batch_create_prospects(create).await.is_err() {
            break;
        }
        let start = pb::StartWorkflowRequest {
            website: website.clone(),
            template_id: crate::support::TEMPLATE.to_owned(),
            ..Default::default()
        };
        if api.workflow.start_workflow(start).await.is_err() {
            break;
        }
        started += 1;
        // The next one is refused until this one has ended.
        let newest = || pb::GetWorkflowRequest { campaign_id: String::new() };
        loop {
            match api.workflow.get_workflow(newest()).await {
                Ok(answer) if answer.get_ref().campaign.as_ref().is_some_and(|c| c.end_time.is_some()) => break,
                Ok(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
                Err(_) => return started,
            }
        }
    }
    started
}

/// The load: writers and campaigners at once, until the server is gone.
async fn load(server: &Server, website: &str) -> (Vec<Ledger>, Vec<(String, usize)>) {
    // The server may die of any write, of the first ones too.
    let mut campaigns = Vec::new();
    for n in 0..CAMPAIGNERS {
        let user = format!("campaigner{n}");
        let Some(api) = server.user_if_there(&user).await else { break };
        campaigns.push((user.clone(), tokio::spawn(campaign(api, user, website.to_owned()))));
    }
    let mut writers = Vec::new();
    for n in 0..WRITERS {
        let ledger = Ledger { user: format!("writer{n}"), ..Default::default() };
        let api = server.user_if_there(&ledger.user).await;
        writers.push(tokio::spawn(async move {
            match api {
                Some(api) => ledger.write(api).await,
                None => ledger,
            }
        }));
    }
    let mut ledgers = Vec::new();
    for writer in writers {
        ledgers.push(writer.await.expect("no panic"));
    }
    let mut started = Vec::new();
    for (user, campaign) in campaigns {
        started.push((user, campaign.await.expect("no panic")));
    }
    (ledgers, started)
}

async fn survives(seed: u64, website: &str) -> Kill {
    let kill = Kill::choose(&Seeded::new(seed));
    let data = folder();
    let (server, (ledgers, started)) = killed(data.path(), kill, async |server| load(server, website).await).await;
    assert_whole(data.path()).await;
    for ledger in ledgers {
        let api = server.user(&ledger.user).await;
        ledger.check(api, kill).await;
    }
    for (user, started) in started {
        let mut api = server.user(&user).await;
        if started == 0 {
            continue;
        }
        let list = api.workflow.list_workflows(pb::ListWorkflowsRequest { page_size: 100, ..Default::default() });
        let campaigns = list.await.expect("a list").into_inner().campaigns;
        assert!(campaigns.len() >= started, "{kill}: {started} campaigns of {user} were acknowledged");
        reaches(&mut api, CampaignState::Completed).await;
        let files = eml_files(&outbox(data.path(), &user));
        let twice: Vec<_> = files.iter().filter(|name| name.ends_with(".2.eml")).collect();
        assert!(twice.is_empty(), "{kill}: sent twice by {user}: {twice:?}");
        // Nor by a later campaign, within the days that nobody is written to again.
        let mut written = std::collections::HashSet::new();
        for file in &files {
            let bytes = std::fs::read(outbox(data.path(), &user).join(file)).expect("a mail");
            let mail = mail_parser::MessageParser::default().parse(&bytes).expect("a mail");
            let to = mail.to().and_then(|to| to.first()?.address().map(str::to_owned)).expect("an address");
            assert!(written.insert(to.clone()), "{kill}: {to} was written to twice by {user}");
        }
    }
    assert_whole(data.path()).await;
    kill
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_at_any_place_under_load() {
    let website = site::pages([("/", html("<title>Acme</title><h1>Acme tools</h1>"))]).await;
    let mut places = HashMap::<_, usize>::new();
    for seed in seeds(if deep() { 500 } else { 30 }) {
        let kill = Box::pin(survives(seed, &website)).await;
        *places.entry(kill.point).or_default() += 1;
    }
    println!("{} kills: {places:?}", places.values().sum::<usize>());
}
