//! The same rows for everybody: so many tenants with so many prospects each, made through Herald's own API, once, and
//! kept in `target/bench`; the Express server gets a copy of the database.

use std::path::{Path, PathBuf};

use herald::pb;

use crate::draws::Draws;
use crate::generator::{Call, Grpc, framed};
use crate::servers::{Server, root};
use crate::token::{Token, token};

pub const GET: &str = "/herald.v1.AgentService/GetProspect";
pub const LIST: &str = "/herald.v1.AgentService/ListProspects";
pub const CREATE: &str = "/herald.v1.AgentService/BatchCreateProspects";

/// How the names of copies begin.
const COPY: &str = "copy-";

/// A data folder and what is in it.
pub struct Data {
    pub folder: PathBuf,
    pub tenants: Vec<Tenant>,
}

pub struct Tenant {
    pub id: String,
    pub token: Token,
    pub prospects: Vec<String>,
}

// === impl Data ===

impl Data {
    /// The folder with that many rows, made if it is not there yet.
    pub async fn of(tenants: usize, prospects: usize) -> anyhow::Result<Self> {
        let folder = root().join(format!("target/bench/{tenants}x{prospects}"));
        if !folder.join("made").exists() {
            println!("making {tenants} tenants with {prospects} prospects each; they are kept in target/bench");
            let _ = std::fs::remove_dir_all(&folder);
            make(&folder, tenants, prospects).await?;
            std::fs::write(folder.join("made"), "")?;
        }
        let ids = ids(&folder.join("herald.db"))?;
        let tenant = |(id, prospects): (String, Vec<String>)| Ok(Tenant { token: token(&id)?, id, prospects });
        Ok(Self { folder, tenants: ids.into_iter().map(tenant).collect::<anyhow::Result<_>>()? })
    }

    /// A copy that may be written to. It is gone when it is dropped.
    pub fn copy(&self) -> anyhow::Result<tempfile::TempDir> {
        let copy = tempfile::Builder::new().prefix(COPY).tempdir_in(root().join("target/bench"))?;
        std::fs::copy(self.folder.join("herald.db"), copy.path().join("herald.db"))?;
        Ok(copy)
    }

    /// Any of the prospects, and whose it is.
    pub fn draw(&self, draws: &mut Draws) -> (&Tenant, &str) {
        let tenant = &self.tenants[draws.below(self.tenants.len())];
        (tenant, &tenant.prospects[draws.below(tenant.prospects.len())])
    }
}

/// Removes the copies that an interrupted run has left.
pub fn sweep() -> anyhow::Result<()> {
    let Ok(entries) = std::fs::read_dir(root().join("target/bench")) else { return Ok(()) };
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(COPY) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

async fn make(folder: &Path, tenants: usize, prospects: usize) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    let server = Server::herald(folder, &[])?;
    let next = std::sync::atomic::AtomicUsize::new(0);
    let mut clients = Vec::new();
    for _ in 0..8 {
        let (port, next) = (server.port, &next);
        clients.push(async move {
            let mut grpc = Grpc::connect(port).await?;
            loop {
                let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if n >= tenants {
                    return anyhow::Ok(());
                }
                let token = token(&format!("tenant_{n:05}"))?;
                for from in (0..prospects).step_by(1_000) {
                    let rows = (from..prospects.min(from + 1_000)).map(|n| prospect(&n.to_string())).collect();
                    let batch = pb::BatchCreateProspectsRequest { prospects: rows, request_id: String::new() };
                    grpc.call(&Call::grpc(&token, CREATE, framed(&batch))).await?;
                }
            }
        });
    }
    futures_util::future::try_join_all(clients).await?;
    Ok(())
}

/// Each tenant's prospects, from the database.
fn ids(database: &Path) -> anyhow::Result<Vec<(String, Vec<String>)>> {
    let connection = rusqlite::Connection::open(database)?;
    let mut query = connection.prepare("SELECT tenant_id, id FROM prospects ORDER BY tenant_id, id")?;
    let mut rows = query.query([])?;
    let mut tenants: Vec<(String, Vec<String>)> = Vec::new();
    while let Some(row) = rows.next()? {
        let (tenant, id): (String, String) = (row.get(0)?, row.get(1)?);
        match tenants.last_mut().filter(|(last, _)| *last == tenant) {
            Some((_, ids)) => ids.push(id),
            None => tenants.push((tenant, vec![id])),
        }
    }
    Ok(tenants)
}

pub fn get(id: &str) -> pb::GetProspectRequest {
    pb::GetProspectRequest { prospect_id: id.to_owned(), view: 0 }
}

/// A prospect as tenants have them; `name` makes its address.
pub fn prospect(name: &str) -> pb::Prospect {
    pb::Prospect {
        email: format!("ines.duarte.{name}@estufas-duarte.example"),
        company: "Estufas Duarte".to_owned(),
        contact_name: "Inês Duarte".to_owned(),
        position: "Head of Operations".to_owned(),
        industry: "Horticulture".to_owned(),
        location: "Odemira, Portugal".to_owned(),
        business_size: "51-200".to_owned(),
        source: "trade fair".to_owned(),
        source_url: "https://estufas-duarte.example/team".to_owned(),
        notes: "Met at the fair; grows tomatoes and peppers under glass, asks about heating costs in winter."
            .to_owned(),
        tags: vec!["greenhouse".to_owned(), "iberia".to_owned()],
        language: "pt".to_owned(),
        conversion_probability: Some(40),
        priority_score: 60,
        next_action: "Send the case study about heat pumps".to_owned(),
        potential_interest: "Lower heating costs".to_owned(),
        discovery_context: "List of exhibitors, hall 4".to_owned(),
        ..Default::default()
    }
}

/// The same for the Express server.
pub fn prospect_json(name: &str) -> serde_json::Value {
    let p = prospect(name);
    serde_json::json!({
        "email": p.email, "company": p.company, "contactName": p.contact_name, "position": p.position,
        "industry": p.industry, "location": p.location, "businessSize": p.business_size, "source": p.source,
        "sourceUrl": p.source_url, "notes": p.notes, "tags": p.tags, "language": p.language,
        "conversionProbability": p.conversion_probability, "priorityScore": p.priority_score,
        "nextAction": p.next_action, "potentialInterest": p.potential_interest,
        "discoveryContext": p.discovery_context,
    })
}
