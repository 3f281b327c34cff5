# `make` alone lists the targets. Needs Go (the version in go.mod or newer), and a C compiler for the
# race detector in `make test`; what is built needs neither.
# All targets compile with the same flags, so that each package is compiled once, and once more for the race detector.
export GOFLAGS ?= -mod=readonly -trimpath
GO ?= go
PURE := CGO_ENABLED=0 $(GO)
BIN := bin/labctl
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2
PLATFORMS := linux/amd64 linux/arm64 darwin/amd64 darwin/arm64
SAMPLES := labs/networkpolicy/samples

.DEFAULT_GOAL := help
.PHONY: help build test lint format bench worst bench-batch bench-live agreement e2e e2e-samples e2e-jobs e2e-gke oracle quickstart cross fuzz capture capture-up capture-live docs vscode clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/labctl
	$(PURE) build -ldflags "-s -w" -o $(BIN) ./cmd/labctl

test: format ## all tests with the race detector, then the linters
	@echo "test with the race detector (the first time, it compiles everything, which takes minutes)"
	$(GO) test -race -timeout 20m ./...
	@$(MAKE) --no-print-directory lint

lint: format ## gofmt, the planted bugs of the oracle, go vet, staticcheck; of the end-to-end tests too
	$(PURE) vet -tags 'e2e e2e_gke e2e_jobs' ./...
	$(PURE) run $(STATICCHECK) -tags 'e2e e2e_gke e2e_jobs' ./...

format: # what takes a second: gofmt, and whether the planted bugs of the oracle still apply
	@unformatted=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):"; echo "$$unformatted"; exit 1; fi
	@for p in cilium/policy/oracle/testdata/planted/*.patch; do \
		git apply --check $$p || { echo "$$p no longer applies: make it again from the changed file"; exit 1; }; done

cross: ## build for linux and macOS, amd64 and arm64, without cgo, into dist/
	@for p in $(PLATFORMS); do \
		echo "build $$p"; \
		CGO_ENABLED=0 GOOS=$${p%/*} GOARCH=$${p#*/} $(GO) build -ldflags "-s -w" -o dist/labctl-$${p%/*}-$${p#*/} ./cmd/labctl || exit 1; \
	done

quickstart: build ## grade a wrong and a right submission of the tutorial lab, without a cluster
	@printf '\n$$ labctl grade networkpolicy --submission $(SAMPLES)/service-port --offline\n\n'
	@$(BIN) grade networkpolicy --submission $(SAMPLES)/service-port --offline; \
	code=$$?; echo "exit code $$code"; [ $$code -eq 1 ] # a wrong answer must not pass
	@printf '\n$$ labctl grade networkpolicy --submission $(SAMPLES)/solution --offline\n\n'
	@$(BIN) grade networkpolicy --submission $(SAMPLES)/solution --offline; \
	code=$$?; echo "exit code $$code"; [ $$code -eq 0 ]

# -count=1: what is tested is in another module too, whose changes do not make Go test again.
N ?= 300
oracle: build ## compare bin/labctl with Cilium's full engine on N=300 random clusters
	cd cilium/policy/oracle && $(PURE) vet . && $(PURE) test -count=1 . && $(PURE) run . -n $(N) -labctl ../../../$(BIN)

e2e-samples: build ## grade every sample of the lab in a real cluster, and offline
	LABCTL_E2E_SAMPLES=all LABCTL_E2E_BINARY=$(CURDIR)/$(BIN) $(PURE) test -tags e2e -count=1 -v -timeout 30m -run TestLab/samples ./cmd/labctl/e2e

# The timeout is about four times what the tests take on two processors, for machines that are busy. LABCTL_E2E_DIR=/some/where keeps the lab for the next run.
e2e: build ## test bin/labctl in real clusters; needs Docker and kubectl, and in a closed network LABCTL_* (labctl config)
	LABCTL_E2E_BINARY=$(CURDIR)/$(BIN) $(PURE) test -tags e2e -count=1 -v -timeout 60m ./cmd/labctl/e2e

e2e-gke: build ## the tutorial on the real GKE, in the project LABCTL_E2E_GKE_PROJECT, with your credentials; costs about a dollar
	LABCTL_E2E_BINARY=$(CURDIR)/$(BIN) $(PURE) test -tags 'e2e e2e_gke' -count=1 -v -timeout 90m -run TestGoogle ./cmd/labctl/e2e

JOBS ?= 10000
e2e-jobs: build ## grade JOBS=10000 submissions as a Job in a real cluster, while a worker is killed and a node is stopped
	LABCTL_E2E_JOBS=$(JOBS) LABCTL_E2E_BINARY=$(CURDIR)/$(BIN) $(PURE) test -tags 'e2e e2e_jobs' -count=1 -v -timeout 30m -run TestJobs ./cmd/labctl/e2e

SETS ?= 200
SEED ?= 1
agreement: ## hold the live engine against the offline one on SETS=200 sets of policies, in $LABCTL_E2E_KUBECONFIG's cluster
	LABCTL_AGREEMENT_SETS=$(SETS) LABCTL_AGREEMENT_SEED=$(SEED) $(PURE) test -tags e2e -count=1 -v -timeout 60m -run TestAgreement ./grade/live

bench-live: ## time live grading against kubectl exec with curl and one exec a cell; 100 gradings in a row
	$(PURE) test -tags e2e -count=1 -v -timeout 30m -run 'TestSpeed|TestSteady' ./grade/live

FUZZTIME ?= 10s
fuzz: ## fuzz every parser of foreign input for FUZZTIME=10s each
	@set -e; for pkg in $$(grep -rl --include='*_test.go' '^func Fuzz' cilium cmd grade labs | xargs -n1 dirname | sort -u); do \
		for f in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$pkg/*_test.go | cut -d' ' -f2); do \
			echo "fuzz $$pkg $$f"; \
			(cd $$pkg && $(GO) test -run '^$$' -fuzz "^$$f\$$" -fuzztime $(FUZZTIME) .); \
		done; \
	done

bench: ## measure the engine, the grading and the whole process
	$(GO) test -run '^$$' -bench . -benchmem ./...

WORST ?= 10m
worst: ## search for the submission within the default limits that costs most, for WORST=10m in each lab
	$(GO) test -run 'TestWorstCase$$' -timeout 0 -v ./grade/batch -worst $(WORST)

STUDENTS ?= 1000 10000
bench-batch: ## measure labctl batch: CPU, files, journal, a shell loop beside it, memory for classes of STUDENTS="1000 10000"
	LABCTL_BENCH_STUDENTS="$(STUDENTS)" $(GO) test -run '^$$' -bench 'BenchmarkBatch$$' -benchtime 1x -timeout 2h ./cmd/labctl

docs: ## write the tables of docs/lab-language.md from the schema of the lab language
	$(GO) test -count=1 -run 'TestDocumentation$$' ./labs/schema -update

CAPTURED := labctl grade networkpolicy --submission answers --offline --task allow-namespace --task allow-monitoring-pods
CHROMIUM ?= chromium
SCREENSHOT = $(CHROMIUM) --headless --no-sandbox --disable-gpu --hide-scrollbars
capture: build ## redraw the pictures of a report and of the pages from real output; needs chromium
	@rm -rf dist/answers dist/graded && mkdir -p dist && cp -r $(SAMPLES)/and-or-peers dist/answers
	cd dist && CLICOLOR_FORCE=1 ../bin/$(CAPTURED) >grade.txt; [ $$? -eq 1 ]
	$(GO) run docs/img/capture.go '$(CAPTURED)' <dist/grade.txt >docs/img/grade.svg
	$(BIN) grade networkpolicy --submission $(SAMPLES)/service-port --offline --task backend-ingress-deny --task allow-frontend \
		--format html=dist/feedback.html >dist/feedback.txt; [ $$? -eq 1 ]
	$(BIN) batch networkpolicy $(SAMPLES) --out dist/graded >dist/graded.txt
	$(SCREENSHOT) --window-size=820,1070 --screenshot=docs/img/feedback.png file://$(CURDIR)/dist/feedback.html
	$(SCREENSHOT) --window-size=1100,1000 --screenshot=docs/img/class.png file://$(CURDIR)/dist/graded/index.html

capture-up: build ## redraw the picture of labctl up; needs Docker and no instance of the lab, and leaves one
	@mkdir -p dist
	cd dist && CLICOLOR_FORCE=1 ../bin/labctl up networkpolicy >up.txt 2>&1
	grep -v … dist/up.txt | sed 's,[^ ]*/cilium-,cilium-,' | $(GO) run docs/img/capture.go 'labctl up networkpolicy' >docs/img/up.svg

LIVE := labctl grade --task backend-ingress-deny
capture-live: build ## redraw the picture of a live grade; needs one running lab, with the solution of the task applied
	@mkdir -p dist
	cd dist && CLICOLOR_FORCE=1 ../bin/$(LIVE) >live.txt; [ $$? -le 1 ]
	$(GO) run docs/img/capture.go '$(LIVE)' <dist/live.txt >docs/img/live.svg

vscode: ## build the extension for VS Code; needs Node.js and npm
	cd editors/vscode && npm ci --no-audit --no-fund && npm run build

clean: ## remove what was built
	rm -rf bin dist
