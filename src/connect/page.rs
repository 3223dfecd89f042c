pub fn read_page(url: &url::Url, _html: &str) -> crate::domain::website::Page { crate::domain::website::Page { url: url.to_string(), ..Default::default() } }
