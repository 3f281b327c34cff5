title     = "from the file"
pass_mark = 20
settings  = { names = ["a", "b"] }
