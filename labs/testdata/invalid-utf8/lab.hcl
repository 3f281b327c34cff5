lab "utf8" {
  title = "café"
}
