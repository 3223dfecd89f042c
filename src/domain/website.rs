use serde::{Deserialize, Serialize};
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page { pub url: String, pub title: String }
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WebsiteAnalysis { pub url: String, pub business_name: String, pub logo_url: String, pub introduction: String, pub product_type: String, pub selling_points: Vec<String>, pub audiences: Vec<Audience>, pub language: String, pub pages: Vec<String>, pub industry: String }
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Audience { pub title: String, pub description: String }
pub fn pages_to_read(_home: &Page, _most: usize) -> Vec<String> { vec![] }
pub fn analyse(pages: &[Page]) -> WebsiteAnalysis { WebsiteAnalysis { url: pages[0].url.clone(), ..Default::default() } }
