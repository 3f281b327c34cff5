in-file = "text"
unknown = 1
titel   = local.x
