# Go 1.26 and make are all that `make run` and `make test` need.
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
# As AWS advises for provided.al2023: no cgo, no RPC mode, no symbols. No HTTP/2 either, which internal/huawei speaks nowhere.
# And the same bytes from the same source: no paths, no state of a clone.
GOBUILD = CGO_ENABLED=0 go build -tags lambda.norpc,nethttpomithttp2 -trimpath -buildvcs=false -ldflags '-s -w -X main.version=$(VERSION)'
# The race detector needs a C compiler on Linux.
RACE = $(shell command -v cc >/dev/null 2>&1 && echo -race)

STACK ?= cbr-replicator
GOLANGCI = github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
FUZZTIME ?= 30s
DIST ?= dist

.PHONY: help run serve live doctor accept test soak fleet bench browser clients smn fuzz integration chain examples checkov redrive report lint fmt build package release deploy build-Function clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: ## the main job on this machine: queue, function, CBR, topic (EVENT=my.json sends your own)
	@go run ./cmd/run $(if $(EVENT),-event "$(EVENT)")

# Built first, since `go run` ends with an error on Ctrl-C.
serve: ## the sandbox stays open, with a page on http://127.0.0.1:8080 (PORT=0 for any port)
	@go build -o bin/serve ./cmd/serve
	@exec bin/serve $(if $(PORT),-port $(PORT))

live: ## the same function against the real CBR of your HW_* variables (EVENT=my.json is required; a plan is only shown, but for DRY_RUN=0)
	@go run ./cmd/run -live -event "$(EVENT)" $(if $(DRY_RUN),-dry-run $(DRY_RUN))

doctor: ## looks at your own account with your HW_* variables, and says what to correct before you deploy; changes nothing
	@go run ./cmd/doctor

# Built first, as serve is, for Ctrl-C.
accept: ## replicates a vault of yours, after it has asked, and says what CBR's documents leave open (VAULT=… WAIT=2h YES=1)
	@go build -o bin/accept ./cmd/accept
	@exec bin/accept $(if $(VAULT),-vault "$(VAULT)") $(if $(WAIT),-wait $(WAIT)) $(if $(YES),-yes)

test: ## the tests that need Go alone
	go test $(RACE) -shuffle=on ./...

soak: ## faults everywhere at once, over and over: counts what is lost, duplicated, wrong, not followed to its end (SEED=1 N=500 SEEDS=20 DURATION=5m)
	@go run ./cmd/soak $(if $(SEED),-seed $(SEED)) $(if $(N),-vaults $(N)) $(if $(SEEDS),-seeds $(SEEDS)) \
		$(if $(DURATION),-duration $(DURATION))

fleet: ## a night of a million vaults, simulated: time, calls, dead letters, following, cost (SEED=1 VAULTS=1000000); a minute of one core
	@go run ./cmd/fleet $(if $(SEED),-seed $(SEED)) $(if $(VAULTS),-vaults $(VAULTS))

bench: ## side by side with what one would otherwise write, ten minutes (ROUNDS=3 is quicker, DOCS=1 rewrites docs/benchmarks.md); needs Linux and Node.js 20
	@cd internal/bench && go run . $(if $(ROUNDS),-rounds $(ROUNDS)) $(if $(BENCHTIME),-benchtime $(BENCHTIME)) $(if $(DOCS),-docs ../../docs)

clients: .tools/clients-python/installed .tools/clients-node/installed ## clients generated from docs/openapi.yaml and Huawei's SDKs against `make serve`, the schemas in check-jsonschema; needs Python 3.11 with venv and Node.js 20
	cd internal/sandbox/serve/clients && go test -count=1 ./...

smn: .tools/smn/installed ## Huawei's official SDK for Python against the stand-in of SMN, and its signatures against ours; needs Python 3.11 with venv
	SMN_PYTHON=$(CURDIR)/.tools/smn/bin/python go test -tags smnsdk -count=1 ./internal/sandbox/smnsdk

browser: ## the pages of `make serve` and `make report` in a real Chromium (SCREENSHOT=1 takes docs/sandbox.png and docs/report.png anew); installs Debian's chromium as root
	@command -v chromium >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null && \
		apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; } || \
		{ echo "chromium is missing: install it (Debian: apt-get install chromium)"; exit 1; }
	cd internal/sandbox/serve/browser && SCREENSHOT=$(SCREENSHOT) go test -count=1 -tags browser .

fuzz: ## every fuzz target for FUZZTIME (30s)
	@for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz'); do \
			.ci/fuzz $$pkg $$target $(FUZZTIME) || exit 1; \
		done; \
	done

integration: .tools/moto/installed ## the built binary with the SQS, SNS, EventBridge, Secrets Manager and CloudFormation of moto; needs Python 3.11 with venv
	MOTO_PYTHON=$(CURDIR)/.tools/moto/bin/python go test $(RACE) -tags integration -count=1 -parallel 8 -timeout 5m ./internal/sandbox/integration

chain: .tools/moto/installed ## examples/step-functions run by moto's interpreter, and all the examples' templates; needs Python 3.11 with venv
	MOTO_PYTHON=$(CURDIR)/.tools/moto/bin/python go test $(RACE) -tags chain -count=1 -timeout 5m ./examples/step-functions
	.tools/moto/bin/python -B -m unittest discover -s examples/consumer
	.tools/moto/bin/cfn-lint examples/*/*.yaml
	.tools/moto/bin/python -B -m openapi_spec_validator docs/openapi.yaml

examples: ## the examples and the two API documents, with what is installed of Python, jq, Terraform and cfn-lint
	go test $(RACE) -count=1 ./examples/... ./internal/contract
	@for dir in consumer failures-to-chat; do \
		if ! command -v python3 >/dev/null; then echo "Python is not installed: examples/$$dir was not tested"; \
		else echo "examples/$$dir"; python3 -B -m unittest discover --buffer -s examples/$$dir || exit 1; fi; done
	@if ! command -v cfn-lint >/dev/null; then echo "cfn-lint is not installed: the examples' templates were not checked"; \
		else echo "cfn-lint examples/*/*.yaml"; cfn-lint examples/*/*.yaml; fi
	@if ! command -v terraform >/dev/null; then echo "Terraform is not installed: examples/terraform was not checked"; \
		else terraform -chdir=examples/functiongraph fmt -check -diff && terraform -chdir=examples/terraform fmt -check -diff && mkdir -p .tools/terraform && cp examples/terraform/main.tf .tools/terraform && \
		if terraform -chdir=.tools/terraform init -backend=false -input=false >/dev/null 2>&1; then terraform -chdir=.tools/terraform validate; \
		else echo "Terraform's AWS provider cannot be had here: examples/terraform was formatted and evaluated, not validated"; fi; fi

checkov: .tools/checkov/installed ## template.yaml against checkov's rules; needs Python 3.11 with venv
	.tools/checkov/bin/checkov --file template.yaml --framework cloudformation --skip-download --compact --quiet

.tools/moto/installed: internal/sandbox/integration/requirements.txt
.tools/checkov/installed: internal/stack/requirements.txt
.tools/clients-python/installed: internal/sandbox/serve/clients/python/requirements.txt
.tools/smn/installed: internal/sandbox/smnsdk/requirements.txt
.tools/%/installed:
	python3 -m venv --clear $(@D)
	$(@D)/bin/pip install --quiet --disable-pip-version-check --require-hashes --requirement $<
	touch $@

.tools/clients-node/installed: internal/sandbox/serve/clients/typescript/package-lock.json
	mkdir -p $(@D)
	cp $(<D)/package.json $(<D)/package-lock.json $(@D)
	cd $(@D) && npm ci --ignore-scripts --no-audit --no-fund --silent
	touch $@

report: ## a page of how old the replicas are, of results of checks (IN=results.json, or QUEUE=URL; OUT=report.html, CSV=1)
	@go run ./cmd/report $(if $(CSV),-csv) $(if $(QUEUE),-queue "$(QUEUE)") -out "$(or $(OUT),report.$(if $(CSV),csv,html))" $(IN)

redrive: ## dead letters of STACK, or DLQ=… QUEUE=… as URLs or ARNs, back to their queue (REJECTED=1: rejected bodies; FOLLOWED=1: what is followed no more; RECORDS=FOLDER TOPIC=URN: those of FunctionGraph; DRY_RUN=1 only shows, FORCE=1 moves what cannot be read too)
	@go run ./cmd/redrive -stack "$(STACK)" -dlq "$(DLQ)" -rejected "$(REJECTED)" -followed "$(FOLLOWED)" -queue "$(QUEUE)" $(if $(RECORDS),-records "$(RECORDS)" -topic "$(TOPIC)") $(if $(DRY_RUN),-dry-run) $(if $(FORCE),-force)

lint: ## golangci-lint (.golangci.yml: formatting, layers, linters), and cfn-lint where it is installed
	go run $(GOLANGCI) run ./...
	@if command -v cfn-lint >/dev/null; then echo cfn-lint template.yaml; cfn-lint template.yaml; else echo "cfn-lint is not installed: template.yaml was not checked"; fi

fmt: ## format the code
	go run $(GOLANGCI) fmt ./...

build: ## bin/bootstrap for Lambda on arm64
	GOOS=linux GOARCH=arm64 $(GOBUILD) -o bin/bootstrap ./function

package: ## zips for Lambda on arm64 and amd64 with their SHA-256 sums in dist, and their sizes
	@rm -f $(DIST)/cbr-replicator_*.zip $(DIST)/SHA256SUMS
	@for arch in amd64 arm64; do \
		GOOS=linux GOARCH=$$arch $(GOBUILD) -o $(DIST)/linux_$$arch/bootstrap ./function || exit 1; \
	done
	@go run ./cmd/release zip $(DIST) $(VERSION)

release: ## check, package and tag VERSION=v1.0.0 in this clone; pushes nothing
	@go run ./cmd/release notes '$(VERSION)' >/dev/null
	@test -z "$$(git status --porcelain)" || { echo "the tree has changes that are not committed:"; git status --short; exit 1; }
	@! git rev-parse --quiet --verify 'refs/tags/$(VERSION)' >/dev/null || { echo "there is a tag $(VERSION) already"; exit 1; }
	.ci/run
	@$(MAKE) --no-print-directory package VERSION=$(VERSION)
	git tag --annotate --message 'cbr-replicator $(VERSION)' $(VERSION)
	@echo 'Nothing was pushed. To publish: git push origin $(VERSION); .github/workflows/release.yml does the rest.'
	@echo 'To take it back: git tag --delete $(VERSION)'

# In place: otherwise `sam build` first copies this tree, tools and all. The build writes nothing here.
# As one word, so that SAM sees the quotation marks that values with spaces need. Make puts PARAMETERS into the environment.
deploy: ## build and deploy the stack with AWS SAM (PARAMETERS='Name=Value …')
	VERSION=$(VERSION) sam build --build-in-source
	sam deploy --stack-name $(STACK) --resolve-s3 --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset \
		$(if $(PARAMETERS),--parameter-overrides "$$PARAMETERS")

# Called by `sam build` for the resource Function, in a copy of this tree unless it was told otherwise.
build-Function:
	GOOS=linux GOARCH=arm64 $(GOBUILD) -o $(ARTIFACTS_DIR)/bootstrap ./function

clean: ## remove what was built
	rm -rf bin dist .aws-sam
