# A small lab to start from. `labctl validate` checks it, `labctl test` proves that it grades right,
# `labctl grade . --submission samples/solution --offline` grades a submission.
# Every block and attribute is described in docs/lab-language.md.

lab "SKELETON" {
  title     = "Protect the backend"
  pass_mark = 70 # percent
}

cluster "kind" {
  workers = 1
}

# --- Who is there --------------------------------------------------------------------------------

app "backend" {
  labels = { app = "backend" }
  port "http" {
    port        = 80   # of the service
    target_port = 8080 # of the container: policies see this one
  }
}

app "frontend" {
  labels = { app = "frontend" }
  port "http" {
    port        = 80
    target_port = 8080
  }
}

# Somebody who must not get in: without a stranger, "allow everybody" would pass.
app "stranger" {
  labels = { app = "stranger" }
}

# --- What is to be done ---------------------------------------------------------------------------

task "protect-backend" {
  title        = "Only the frontend reaches the backend"
  instructions = file("tasks/01-protect-backend.md")

  hint "port" {
    text = "A policy is applied at the pod, behind the service. Which port does the container listen on?"
    cost = 1
  }

  objective "only-frontend" {
    title  = "The frontend reaches the backend; the stranger does not"
    points = 8
    matrix {
      from  = [app.frontend, app.stranger]
      to    = app.backend.port.http
      allow = [[app.frontend, app.backend.port.http]]
    }
  }

  objective "nothing-more" {
    title      = "No other peer, no other port, and the others are as open as before"
    points     = 2
    depends_on = ["only-frontend"]
    invariant "no-other-peer" {
      to          = app.backend
      except_apps = app.frontend
    }
    invariant "no-other-port" {
      to           = app.backend
      except_ports = app.backend.port.http
    }
    expect "allowed" {
      from    = [app.backend, app.stranger]
      to      = app.frontend.port.http
      because = "the policy is about the backend and nobody else"
    }
  }
}

# --- Proof that the lab grades right --------------------------------------------------------------

starter {
  path = "starter"
}

sample "solution" {
  path  = "samples/solution"
  score = 100
}

sample "allow-all" {
  path        = "samples/allow-all"
  score       = 0
  missed      = ["protect-backend/only-frontend"]
  description = "A rule without a peer lets everybody in."
}
