//! Enums whose values have a name each: in the database, in JSON, in metrics and in logs.

/// Declares an enum with the names of its values: `ALL` in order, `as_str`, `parse`, and serde by the same names.
macro_rules! named_enum {
    ($(#[$about:meta])* $reach:vis enum $name:ident { $($(#[$of:meta])* $value:ident = $text:literal,)+ }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
        $reach enum $name {
            $($(#[$of])* #[serde(rename = $text)] $value,)+
        }

        impl $name {
            $reach const ALL: [Self; [$($text),+].len()] = [$(Self::$value),+];

            $reach fn as_str(self) -> &'static str {
                match self {
                    $(Self::$value => $text,)+
                }
            }

            /// The value of that name.
            $reach fn parse(name: &str) -> Option<Self> {
                Self::ALL.into_iter().find(|value| value.as_str() == name)
            }
        }
    };
}

pub(crate) use named_enum;

#[cfg(test)]
mod tests {
    named_enum! {
        #[derive(Default)]
        enum Size {
            #[default]
            Small = "small",
            VeryLarge = "very_large",
        }
    }

    #[test]
    fn each_value_has_one_name_everywhere() {
        assert_eq!(Size::ALL.map(Size::as_str), ["small", "very_large"]);
        assert_eq!((Size::parse("very_large"), Size::parse("large")), (Some(Size::VeryLarge), None));
        assert_eq!(serde_json::to_string(&Size::VeryLarge).expect("JSON"), "\"very_large\"");
        assert_eq!(Size::default(), Size::Small);
    }
}
