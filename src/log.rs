pub fn warning(text: &str) {
    eprintln!("{text}");
}
