//! What kind of company a website belongs to, by the words that it uses.

use std::collections::HashSet;

use super::sources::{Field, FoundIn, Sources};
use super::{Page, Role};
use crate::domain::text::words;

/// An industry, what its companies sell, JSON-LD types that say so outright, and words that hint at it.
struct Industry {
    name: &'static str,
    product: &'static str,
    types: &'static [&'static str],
    words: &'static [&'static str],
}

/// Below this many points the words do not tell clearly.
const CLEAR: u32 = 4;

/// A text, as its words are looked for.
struct Text {
    lower: String,
    words: HashSet<String>,
}

/// The texts of a page that say what its company does.
struct Texts<'a> {
    page: &'a Page,
    title: Text,
    description: Text,
    headings: Text,
    paragraphs: Text,
}

/// The industry and the product type that the pages' words fit best; empty where none fits clearly.
pub(super) fn classify(pages: &[Page], sources: &mut Sources) -> (String, String) {
    // Once for all industries: a page may have half a megabyte of text.
    let texts: Vec<_> = pages.iter().map(Texts::new).collect();
    let best = INDUSTRIES.iter().map(|i| (score(i, &texts), i)).max_by_key(|(score, _)| *score);
    match best {
        Some((score, industry)) if score >= CLEAR => {
            for texts in texts.iter().filter(|texts| score_of_page(industry, texts) > 0) {
                let found_in = if is_typed(industry, texts) { FoundIn::Types } else { FoundIn::Words };
                sources.note(Field::Industry, &texts.page.url, found_in);
                sources.note(Field::ProductType, &texts.page.url, found_in);
            }
            (industry.name.to_owned(), industry.product.to_owned())
        }
        _ => (String::new(), String::new()),
    }
}

impl Text {
    fn new(text: &str) -> Self {
        let lower = text.to_lowercase();
        Self { words: words(&lower).into_iter().collect(), lower }
    }

    /// Whether it has the word: a whole one, or its plural, in scripts with spaces; anywhere in Chinese.
    fn has(&self, word: &str) -> bool {
        if word.is_ascii() {
            self.words.contains(word) || self.words.contains(&format!("{word}s"))
        } else {
            self.lower.contains(word)
        }
    }
}

impl<'a> Texts<'a> {
    fn new(page: &'a Page) -> Self {
        let names = page.products.iter().map(|p| format!("{} {}", p.name, p.description)).collect::<Vec<_>>().join(" ");
        let headings = page.own_sections().map(|s| s.heading.as_str()).collect::<Vec<_>>().join(" ");
        Self {
            page,
            title: Text::new(&page.title),
            description: Text::new(&format!("{} {names}", page.description)),
            headings: Text::new(&headings),
            paragraphs: Text::new(&page.paragraphs.join(" ")),
        }
    }
}

/// Twenty for a type of JSON-LD, four for a word in the title, three in the description or a product, two in a heading,
/// one in a text. What is said of the customers does not count.
fn score(industry: &Industry, pages: &[Texts<'_>]) -> u32 {
    pages.iter().map(|texts| score_of_page(industry, texts)).sum()
}

fn score_of_page(industry: &Industry, texts: &Texts<'_>) -> u32 {
    let hits = |text: &Text| {
        let count = industry.words.iter().filter(|word| text.has(word)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    };
    20 * u32::from(is_typed(industry, texts))
        + 4 * hits(&texts.title)
        + 3 * hits(&texts.description)
        + 2 * hits(&texts.headings)
        + hits(&texts.paragraphs)
}

/// Whether a thing of the site itself has one of the industry's types.
fn is_typed(industry: &Industry, texts: &Texts<'_>) -> bool {
    let own = texts.page.organizations.iter().filter(|entity| entity.role < Role::OfOther);
    let kinds = own.chain(&texts.page.products).flat_map(|entity| &entity.kinds);
    kinds.into_iter().any(|kind| industry.types.iter().any(|known| known.eq_ignore_ascii_case(kind)))
}

macro_rules! industries {
    ($($name:literal, $product:literal, [$($kind:literal),*], [$($word:literal),*];)*) => {
        const INDUSTRIES: &[Industry] = &[$(Industry {
            name: $name, product: $product, types: &[$($kind),*], words: &[$($word),*],
        }),*];
    };
}

industries! {
    "Software", "Software", ["SoftwareApplication", "WebApplication", "MobileApplication"], ["software", "saas", "platform", "dashboard", "workflow", "integrations", "developers", "cloud", "软件", "平台", "云"];
    "Agriculture and horticulture", "Agricultural technology", [], ["agriculture", "horticulture", "greenhouse", "grower", "crop", "farm", "soil", "irrigation", "harvest", "农业", "农场", "灌溉", "土壤"];
    "Manufacturing", "Machinery and components", [], ["manufacturer", "manufacturing", "machinery", "machine", "factory", "maschinenbau", "precision", "fertigung", "机械", "机床", "零部件"];
    "Electronics", "Electronics and sensors", [], ["electronics", "sensor", "wireless", "circuit", "semiconductor", "instrument", "传感器", "电子", "芯片"];
    "Bakery and food craft", "Bread and baked goods", ["Bakery"], ["bakery", "bread", "sourdough", "pastry", "pastries", "cake", "bäckerei", "面包", "烘焙"];
    "Restaurants", "Restaurant", ["Restaurant", "CafeOrCoffeeShop", "BarOrPub", "FoodEstablishment"], ["restaurant", "dishes", "chef", "cuisine", "reservation", "dining", "cafe", "餐厅", "美食", "菜"];
    "Food and drink", "Food and drink", ["Brewery", "Winery"], ["food", "beverage", "brewery", "winery", "coffee", "roastery", "食品", "饮料"];
    "Legal services", "Legal advice", ["LegalService", "Attorney"], ["lawyer", "attorney", "solicitor", "legal", "litigation", "counsel", "rechtsanwalt", "kanzlei", "律师", "法律"];
    "Healthcare", "Medical care", ["Hospital", "MedicalClinic", "Physician", "Dentist", "MedicalOrganization", "MedicalBusiness"], ["hospital", "clinic", "patient", "medical", "doctor", "health", "dental", "医院", "医疗", "患者"];
    "Pharmaceuticals and biotech", "Medicines and biotechnology", [], ["pharmaceutical", "biotech", "clinical", "therapeutics", "vaccine", "制药", "生物"];
    "Education", "Education", ["CollegeOrUniversity", "School", "EducationalOrganization"], ["university", "school", "student", "course", "campus", "faculty", "education", "learning", "大学", "学校", "教育", "课程"];
    "Retail", "Goods in a shop", ["Store", "OnlineStore", "ClothingStore", "ElectronicsStore"], ["shop", "store", "retail", "delivery", "collection", "商店", "购物", "零售"];
    "Fashion", "Clothing", [], ["fashion", "clothing", "apparel", "garment", "shoes", "textile", "服装", "时尚"];
    "Finance", "Financial services", ["BankOrCreditUnion", "FinancialService"], ["bank", "finance", "financial", "investment", "loan", "payment", "credit", "银行", "金融", "投资", "支付"];
    "Insurance", "Insurance", ["InsuranceAgency"], ["insurance", "insurer", "claims", "versicherung", "保险"];
    "Accounting", "Accounting and tax advice", ["AccountingService"], ["accounting", "accountant", "bookkeeping", "steuerberater", "audit", "会计", "税务"];
    "Real estate", "Property", ["RealEstateAgent"], ["property", "properties", "estate", "apartment", "tenants", "immobilien", "房地产", "房产"];
    "Construction", "Construction", ["GeneralContractor", "HomeAndConstructionBusiness"], ["construction", "contractor", "building", "architecture", "renovation", "roofing", "建筑", "施工"];
    "Energy", "Energy", [], ["energy", "solar", "wind", "battery", "charging", "photovoltaic", "能源", "太阳能", "光伏"];
    "Logistics", "Transport and logistics", ["MovingCompany"], ["logistics", "freight", "shipping", "warehouse", "transport", "spedition", "物流", "运输", "仓储"];
    "Automotive", "Vehicles and parts", ["AutoDealer", "AutoRepair", "AutomotiveBusiness"], ["automotive", "vehicle", "garage", "tyre", "汽车", "车辆"];
    "Travel and hospitality", "Travel and accommodation", ["Hotel", "LodgingBusiness", "TravelAgency", "Resort"], ["hotel", "travel", "booking", "guests", "holiday", "tours", "酒店", "旅游"];
    "Marketing and design", "Marketing and design services", [], ["marketing", "branding", "agency", "design", "advertising", "campaigns", "营销", "广告", "设计"];
    "Media and publishing", "Publications", ["NewsMediaOrganization"], ["magazine", "publishing", "newspaper", "journalism", "podcast", "媒体", "出版"];
    "Consulting", "Consulting", ["ProfessionalService"], ["consulting", "consultancy", "advisory", "strategy", "beratung", "咨询"];
    "Non-profit", "Charitable work", ["NGO"], ["charity", "donate", "donation", "volunteer", "nonprofit", "foundation", "慈善", "公益"];
    "Sport and fitness", "Sport and fitness", ["SportsActivityLocation", "HealthClub", "ExerciseGym"], ["fitness", "gym", "yoga", "training", "sport", "健身", "运动"];
    "Beauty", "Beauty care", ["BeautySalon", "HairSalon", "DaySpa"], ["beauty", "salon", "cosmetics", "skincare", "hair", "美容", "化妆品"];
}
