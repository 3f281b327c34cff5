lab "b" {}
