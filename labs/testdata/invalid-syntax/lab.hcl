lab "syntax" {
  title = "unclosed
}
task "t" {
  objective "o" {
    points = = 1
  }
