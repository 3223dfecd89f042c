//! The tree of a page, made by the HTML standard's parser within bounds.
//!
//! The parser makes elements of its own: a text within formatting elements that were never closed makes each of them anew
//! ("reconstruct the active formatting elements"), so that a few bytes can make as many as there are. Nodes and attributes are
//! counted as they are made, and the page is given to the parser in pieces so small that no piece can make many more than
//! there may be. What comes after is not read.

use std::borrow::Cow;
use std::cell::{Cell, Ref};

use ego_tree::NodeId;
use html5ever::tendril::{StrTendril, TendrilSink as _};
use html5ever::tree_builder::{ElementFlags, NodeOrText, QuirksMode, TreeSink};
use html5ever::{Attribute, ParseOpts, QualName, parse_document};
use scraper::{Html, HtmlTreeSink};

use super::effort::Effort;

/// The nodes and attributes of a page. Large ones have some ten thousand.
const MAX_NODES: usize = 60_000;
/// The attributes of an element that are kept.
const MAX_ATTRIBUTES: usize = 32;
/// The pieces that the parser is given, in bytes.
const LARGEST_PIECE: usize = 4 * 1_024;
const SMALLEST_PIECE: usize = 8;

/// Makes the tree, and counts what it makes.
struct Counted {
    tree: HtmlTreeSink,
    made: Cell<usize>,
}

/// The page as far as the bounds allow, and how much was made.
pub(super) fn parse(html: &str, effort: &mut Effort<'_>) -> Html {
    let sink = Counted { tree: HtmlTreeSink::new(Html::new_document()), made: Cell::new(0) };
    let mut parser = parse_document(sink, ParseOpts::default());
    let mut rest = html;
    while !rest.is_empty() {
        let made = parser.tokenizer.sink.sink.made.get();
        // A token has two bytes at least, and makes no more than there is.
        let max = 4 * MAX_NODES.saturating_sub(made) / made.max(1);
        let size = max.clamp(SMALLEST_PIECE, LARGEST_PIECE);
        // As many steps as the piece could make: what walks the parser's lists makes nothing.
        if made >= MAX_NODES || !effort.spend(1 + size / 16) {
            break;
        }
        let (piece, after) = rest.split_at(rest.ceil_char_boundary(size));
        parser.process(StrTendril::from_slice(piece));
        rest = after;
    }
    parser.finish()
}

impl Counted {
    fn count(&self, made: usize) {
        self.made.set(self.made.get() + made);
    }
}

impl TreeSink for Counted {
    type Output = Html;
    type Handle = NodeId;
    type ElemName<'a> = Ref<'a, QualName>;

    fn finish(self) -> Html {
        self.tree.finish()
    }

    fn create_element(&self, name: QualName, mut attrs: Vec<Attribute>, flags: ElementFlags) -> NodeId {
        attrs.truncate(MAX_ATTRIBUTES);
        self.count(1 + attrs.len());
        self.tree.create_element(name, attrs, flags)
    }

    fn create_comment(&self, _text: StrTendril) -> NodeId {
        self.count(1);
        self.tree.create_comment(StrTendril::new())
    }

    fn create_pi(&self, target: StrTendril, data: StrTendril) -> NodeId {
        self.count(1);
        self.tree.create_pi(target, data)
    }

    fn append(&self, parent: &NodeId, child: NodeOrText<NodeId>) {
        self.count(usize::from(matches!(child, NodeOrText::AppendText(_))));
        self.tree.append(parent, child);
    }

    fn append_before_sibling(&self, sibling: &NodeId, child: NodeOrText<NodeId>) {
        self.count(usize::from(matches!(child, NodeOrText::AppendText(_))));
        self.tree.append_before_sibling(sibling, child);
    }

    fn append_based_on_parent_node(&self, element: &NodeId, previous: &NodeId, child: NodeOrText<NodeId>) {
        self.count(usize::from(matches!(child, NodeOrText::AppendText(_))));
        self.tree.append_based_on_parent_node(element, previous, child);
    }

    fn add_attrs_if_missing(&self, target: &NodeId, mut attrs: Vec<Attribute>) {
        attrs.truncate(MAX_ATTRIBUTES);
        self.count(attrs.len());
        self.tree.add_attrs_if_missing(target, attrs);
    }

    fn parse_error(&self, _message: Cow<'static, str>) {}

    fn set_quirks_mode(&self, mode: QuirksMode) {
        self.tree.set_quirks_mode(mode);
    }

    fn get_document(&self) -> NodeId {
        self.tree.get_document()
    }

    fn same_node(&self, x: &NodeId, y: &NodeId) -> bool {
        self.tree.same_node(x, y)
    }

    fn elem_name<'a>(&'a self, target: &'a NodeId) -> Ref<'a, QualName> {
        self.tree.elem_name(target)
    }

    fn append_doctype_to_document(&self, name: StrTendril, public_id: StrTendril, system_id: StrTendril) {
        self.tree.append_doctype_to_document(name, public_id, system_id);
    }

    fn remove_from_parent(&self, target: &NodeId) {
        self.tree.remove_from_parent(target);
    }

    fn reparent_children(&self, node: &NodeId, new_parent: &NodeId) {
        self.tree.reparent_children(node, new_parent);
    }

    fn get_template_contents(&self, target: &NodeId) -> NodeId {
        self.tree.get_template_contents(target)
    }
}
