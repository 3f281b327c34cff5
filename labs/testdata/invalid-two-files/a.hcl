lab "a" {}
