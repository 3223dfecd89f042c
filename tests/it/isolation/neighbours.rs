//! Keys and paths: tenants whose ids and keys are chosen to be mistaken for another's, and what would lead out of the data
//! folder.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use herald::cache::TenantCache;
use herald::connect::{Delivery, Mail, Outbox};
use herald::domain::clock::SystemClock;
use herald::domain::email::{Email, NamedAddress};
use herald::domain::id::{CampaignId, EmailId, ProspectId, TemplateId};
use herald::files::{DataDir, Files};
use herald::pb::{self, CampaignState};
use herald::tenant::TenantId;
use serde_json::json;
use tonic::Code;

use crate::support::redis::{RedisCluster, RedisServer, cache, patient, reachable, settings};
use crate::support::rpc::headers;
use crate::support::site;
use crate::support::{
    TestApp, add_prospects, auto_approve, config, eml_files, folder, reason, scope, seams, start_campaign,
};

/// The tenant that is deleted.
const TARGET: &str = "user_a.b";
const NEIGHBOURS: usize = 1_000;

/// Ids that begin, end or look like the target's, and that a pattern made of it could match.
fn neighbours() -> Vec<String> {
    let alphabet: Vec<char> = "_-.@|+aAbB0Uu".chars().collect();
    let mut found = BTreeSet::new();
    let mut add = |id: String| {
        if TenantId::parse(&id).is_ok() && id != TARGET {
            found.insert(id);
        }
    };
    for end in 1..TARGET.len() {
        add(TARGET[..end].to_owned());
        add(TARGET[end..].to_owned());
    }
    for c in &alphabet {
        for at in 0..=TARGET.len() {
            add(format!("{}{c}{}", &TARGET[..at], &TARGET[at..]));
            if at < TARGET.len() {
                add(format!("{}{c}{}", &TARGET[..at], &TARGET[at + 1..]));
            }
        }
        for other in &alphabet {
            add(format!("{TARGET}{c}{other}"));
            add(format!("{c}{other}{TARGET}"));
            add(format!("{c}{TARGET}{other}"));
            for third in &alphabet {
                add(format!("{TARGET}{c}{other}{third}"));
            }
        }
    }
    add(TARGET.to_uppercase());
    add(format!("user.{TARGET}"));
    // The likest first.
    let mut all: Vec<_> = found.into_iter().collect();
    all.sort_by_key(|id| (id.len(), id.clone()));
    all.truncate(NEIGHBOURS);
    assert_eq!(all.len(), NEIGHBOURS);
    all
}

/// Keys that look like those of the target, or like a pattern.
fn keys() -> Vec<String> {
    let target = format!("user:{TARGET}:k");
    let odd = ["k", "*", "?", "[k]", "{k}", "\\", "\\*", "user:", ":", "::k", "k\0", "k\n", "../k", "用", "é*", " "];
    odd.iter().map(|key| (*key).to_owned()).chain([format!(":{TARGET}:k"), format!("{TARGET}:k"), target]).collect()
}

async fn deletes_exactly_its_own(cache: &TenantCache) {
    reachable(cache).await;
    let keys = keys();
    let neighbours = neighbours();
    for (n, id) in neighbours.iter().enumerate() {
        let scope = scope(id).await;
        let own = [(keys[n % keys.len()].as_str(), json!(id)), (keys[(n + 7) % keys.len()].as_str(), json!(n))];
        cache.scope(&scope).set_many(&own, None).await.expect("set");
    }
    let target = scope(TARGET).await;
    let own: Vec<_> = keys.iter().map(|key| (key.as_str(), json!(key))).collect();
    cache.scope(&target).set_many(&own, None).await.expect("set");
    cache.scope(&target).push("a list", &json!(1)).await.expect("pushed");

    assert_eq!(cache.scope(&target).delete_all().await, Ok(keys.len() as u64 + 1));
    assert_eq!(cache.scope(&target).keys().await, Ok(Vec::new()));
    for (n, id) in neighbours.iter().enumerate() {
        let scope = scope(id).await;
        let asked = [keys[n % keys.len()].as_str(), keys[(n + 7) % keys.len()].as_str()];
        let found = cache.scope(&scope).get_many(&asked, usize::MAX).await;
        assert_eq!(found, Ok(vec![Some(json!(id)), Some(json!(n))]), "those of {id}");
        let mut own = asked.map(str::to_owned);
        own.sort_unstable();
        assert_eq!(cache.scope(&scope).keys().await, Ok(own.into()), "the keys of {id} are listed, and no other's");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_tenant_among_a_thousand_neighbours_removes_exactly_its_own_from_memory() {
    deletes_exactly_its_own(&cache(&settings(""))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_tenant_among_a_thousand_neighbours_removes_exactly_its_own_from_redis() {
    let server = RedisServer::start(&[]);
    // What other applications keep there.
    let strangers = [
        format!("user:{TARGET}"),
        format!("user::{TARGET}:k"),
        format!("auser:{TARGET}:k"),
        format!("USER:{TARGET}:k"),
        format!(" user:{TARGET}:k"),
        TARGET.to_owned(),
        "user:*".to_owned(),
    ];
    for key in &strangers {
        server.cli(&["set", key, "kept"]);
    }
    deletes_exactly_its_own(&cache(&patient(&server.url()))).await;
    for key in &strangers {
        assert_eq!(server.cli(&["get", key]), ["kept"], "{key}");
    }
    // Two keys and an index of each neighbour, and no index of the target.
    assert_eq!(server.cli(&["dbsize"]), [(3 * NEIGHBOURS + strangers.len()).to_string()]);
    assert_eq!(server.cli(&["exists", &format!("herald:keys:{TARGET}")]), ["0"]);
    // Of those that are left, three look like a tenant's key and are none; an index looks like none.
    let mut left = cache(&patient(&server.url())).strangers().await.expect("looked");
    left.sort_unstable();
    assert_eq!(left, ["user:*", &format!("user::{TARGET}:k"), &format!("user:{TARGET}")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_a_tenant_among_a_thousand_neighbours_removes_exactly_its_own_from_a_cluster() {
    let cluster = RedisCluster::start();
    deletes_exactly_its_own(&cache(&patient(&cluster.url()))).await;
}

/// What leads out of a folder, or nowhere, on some system or other.
const TRAVERSALS: [&str; 21] = [
    "..",
    "../x",
    "../../x",
    "..\\x",
    "/etc/x",
    "x/../../y",
    "./x",
    ".",
    "...",
    "%2e%2e%2fx",
    "..%2fx",
    "..%c0%afx",
    "x\0",
    "x\n",
    "~",
    "~/x",
    "C:\\x",
    "\\\\server\\x",
    "file:///x",
    "con",
    "．．／x",
];

/// Every file and folder, with what is in it, but for those below `but`.
fn tree(root: &Path, but: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.starts_with(but) {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                folders.push(path.clone());
            }
            found.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
        }
    }
    found
}

fn email(id: &str) -> Email {
    let mailbox = |address: &str| NamedAddress { name: String::new(), address: address.to_owned() };
    Email {
        campaign_id: CampaignId::parse("cp_1").ok(),
        template_id: TemplateId::parse("tp_1").ok(),
        subject: "Hello".to_owned(),
        body: "Hello".to_owned(),
        from: mailbox("a@example.com"),
        to: mailbox("b@example.com"),
        unsubscribe: "a@example.com".to_owned(),
        message_id: "1@example.com".to_owned(),
        ..Email::blank(EmailId::parse(id).expect("an id"), ProspectId::parse("pr_1").expect("an id"))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_tenant_id_key_or_file_name_leads_out_of_the_tenants_folder() {
    let around = folder();
    let data = around.path().join("deep").join("data");
    let locked = Arc::new(DataDir::lock(&data).expect("free"));
    let files = Arc::new(Files::new(&Default::default(), locked).expect("a folder"));
    let outbox = Outbox::new(files, Arc::new(SystemClock));
    let user = scope("user_a").await;
    let before = tree(around.path(), &data.join("users").join("user_a"));
    let (cache, mut delivered) = (cache(&settings("")), 0);
    for text in TRAVERSALS {
        // As a key.
        cache.scope(&user).set(text, &json!(text), None).await.expect("a key like any other");
        assert_eq!(cache.scope(&user).get(text).await, Ok(Some(json!(text))));
        // As a file's name: ids of e-mails that were imported are not ours.
        if EmailId::parse(text).is_ok() {
            outbox.deliver(&user, &email(text), None).await.unwrap_or_else(|error| panic!("{text:?}: {error}"));
            assert_eq!(outbox.verify(&user, &email(text)).await, Ok(Delivery::Delivered), "{text:?}");
            delivered += 1;
        }
    }
    let own = data.join("users").join("user_a").join("outbox");
    assert_eq!((eml_files(&own).len(), delivered), (19, 19), "each its own file: {:?}", eml_files(&own));
    assert_eq!(tree(around.path(), &own).len(), before.len() + 1, "user_a is new, and nothing else");
    drop(outbox);

    // As a tenant's id.
    let app = TestApp::start().await;
    let before = tree(app.data.path(), Path::new("none")).into_keys().collect::<Vec<_>>();
    let channel = app.channel().await;
    let rpc = crate::support::rpc::rpcs().into_iter().find(|rpc| rpc.descriptor.name() == "GetCaller").expect("an RPC");
    for text in TRAVERSALS.into_iter().filter(|text| text.bytes().all(|b| (0x20..0x7f).contains(&b))) {
        let sent = headers(&[("x-user-id", text)]);
        let request = prost_reflect::DynamicMessage::new(rpc.descriptor.input());
        let answer = rpc.call(&channel, &sent, request).await;
        if TenantId::parse(text).is_ok() {
            answer.expect("an id like any other");
        } else {
            let refused = answer.expect_err("no tenant id");
            assert_eq!((refused.code(), reason(&refused)), (Code::Unauthenticated, "TENANT_ID_INVALID".to_owned()));
        }
    }
    assert_eq!(tree(app.data.path(), Path::new("none")).into_keys().collect::<Vec<_>>(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn symbolic_links_in_the_data_folder_are_not_followed_out_of_it() {
    let outside = folder();
    let website = site::pages([("/", site::company())]).await;
    // In place of a tenant's folder, and of its outbox; to elsewhere, and to another tenant's.
    for (link, leads_to) in
        [("users/user_a", "outside"), ("users/user_a/outbox", "outside"), ("users/user_a", "users/user_b")]
    {
        let data = folder();
        let link = data.path().join(link);
        std::fs::create_dir_all(link.parent().expect("a folder")).expect("made");
        std::fs::create_dir_all(data.path().join("users/user_b/outbox")).expect("made");
        let there = if leads_to == "outside" { outside.path().to_owned() } else { data.path().join(leads_to) };
        symlink(&there, &link).expect("linked");
        let settings = config(&data);
        let app = TestApp::with(data, settings, seams()).await;
        let mut api = app.user("user_a").await;
        add_prospects(&mut api, 2).await;
        auto_approve(&mut api).await;
        start_campaign(&mut api, &website).await;
        // It waits, and says for what.
        let mut held = String::new();
        for _ in 0..500 {
            held = crate::support::newest(&mut api).await.hold;
            if !held.is_empty() {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        assert!(held.contains("the outbox cannot be used") && !held.contains("users"), "{held:?}");
        assert_eq!(tree(&there, Path::new("none")).values().filter(|bytes| !bytes.is_empty()).count(), 0);
        // Once it is gone, the campaign goes on by itself.
        std::fs::remove_file(&link).expect("removed");
        crate::support::reaches(&mut api, CampaignState::Completed).await;
        assert_eq!(eml_files(&app.outbox("user_a")).len(), 2);
        let list = pb::ListWorkflowEmailsRequest { status: pb::EmailStatus::Sent.into(), ..Default::default() };
        let sent = api.workflow.list_workflow_emails(list).await.expect("a list").into_inner().emails;
        assert_eq!(sent.len(), 2);
    }
}
