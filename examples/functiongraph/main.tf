# The function on Huawei Cloud's FunctionGraph, with all that it needs there and no
# more: two topics, its triggers, two agencies, a log stream, and a bucket for what
# it gives up.

terraform {
  required_version = ">= 1.5"
  required_providers {
    huaweicloud = {
      source  = "huaweicloud/huaweicloud"
      version = ">= 1.74.0"
    }
  }
}

variable "name" {
  description = "The name of all that is made here."
  type        = string
  default     = "cbr-replicator"
}

variable "region" {
  description = "The region of the source vaults, which is the function's and the topics', too."
  type        = string
}

variable "project" {
  description = "The name of the source project. Empty: the region's own."
  type        = string
  default     = ""
}

variable "zip" {
  description = "The amd64 zip of a release, or of `make package`."
  type        = string
}

variable "bucket" {
  description = "The name of a new bucket for requests that the function gives up."
  type        = string
}

variable "allowed_destinations" {
  description = "region/project_id pairs."
  type        = list(string)
}

variable "vault" {
  description = "What the timer and a start on an event replicate: vault_id, destination_vault_id, destination_project_id and destination_region."
  type = object({
    vault_id               = string
    destination_vault_id   = string
    destination_project_id = string
    destination_region     = string
  })
}

variable "schedule" {
  description = "When the timer starts, as FunctionGraph's cron has it, with seconds first."
  type        = string
  default     = "0 30 2 * * *"
}

variable "start_on_backup" {
  description = "Cloud Eye's event backupSucceeded starts the replication of the vault. Nobody has seen this event yet: see README.md."
  type        = bool
  default     = false
}

variable "apig_instance" {
  description = "The id of a dedicated gateway, for requests over HTTP. Empty: none."
  type        = string
  default     = ""
}

locals {
  project = var.project == "" ? var.region : var.project
  label   = replace(var.name, "-", "_") # for what takes no hyphen
  # At most 4,096 characters, see docs/configuration.md.
  variables = merge(
    {
      HW_REGION_NAME                = var.region
      HW_CBR_VAULT_ID               = var.vault.vault_id
      HW_CBR_DESTINATION_VAULT_ID   = var.vault.destination_vault_id
      HW_CBR_DESTINATION_PROJECT_ID = var.vault.destination_project_id
      HW_CBR_DESTINATION_REGION     = var.vault.destination_region
      ALLOWED_DESTINATIONS          = join(",", var.allowed_destinations)
    },
    var.start_on_backup ? { START_ON_EVENTS = "backupSucceeded" } : {},
  )
  execution = {
    Version = "1.1"
    Statement = [{
      Effect = "Allow"
      Action = ["cbr:vaults:replicate", "cbr:backups:list", "cbr:vaults:list", "cbr:backups:get", "cbr:backups:replicate", "smn:topic:publish"]
    }]
  }
  configuration = {
    Version = "1.1"
    Statement = [{
      Effect   = "Allow"
      Action   = ["obs:object:PutObject"]
      Resource = ["obs:*:*:object:${var.bucket}/*"]
    }]
  }
}

provider "huaweicloud" {
  region = var.region
}

resource "huaweicloud_smn_topic" "requests" {
  name = "${var.name}-requests"
}

resource "huaweicloud_smn_topic" "results" {
  name = "${var.name}-results"
}

# What the function may do. Its keys come with each event.
resource "huaweicloud_identity_role" "execution" {
  name        = "${var.name}-execution"
  description = "Replicates CBR vaults and publishes the results."
  type        = "XA"
  policy      = jsonencode(local.execution)
}

resource "huaweicloud_identity_agency" "execution" {
  name                  = "${var.name}-execution"
  delegated_domain_name = "op_svc_cff"

  project_role {
    project = local.project
    roles   = [huaweicloud_identity_role.execution.name]
  }
}

# What FunctionGraph may do for it: keep what it gives up.
resource "huaweicloud_identity_role" "configuration" {
  name        = "${var.name}-configuration"
  description = "Keeps failed requests in a bucket."
  type        = "AX"
  policy      = jsonencode(local.configuration)
}

resource "huaweicloud_identity_agency" "configuration" {
  name                  = "${var.name}-configuration"
  delegated_domain_name = "op_svc_cff"
  domain_roles          = [huaweicloud_identity_role.configuration.name]
}

resource "huaweicloud_lts_group" "log" {
  group_name  = var.name
  ttl_in_days = 30
}

resource "huaweicloud_lts_stream" "log" {
  group_id    = huaweicloud_lts_group.log.id
  stream_name = var.name
}

resource "huaweicloud_fgs_function" "replicator" {
  name          = var.name
  app           = "default"
  description   = "Replicates CBR vaults."
  runtime       = "Custom"
  handler       = "bootstrap"
  memory_size   = 256
  timeout       = 120
  code_type     = "zip"
  code_filename = basename(var.zip)
  func_code     = filebase64(var.zip)
  user_data     = jsonencode(merge(local.variables, {
    RESULT_TOPIC_URN  = huaweicloud_smn_topic.results.topic_urn
    REQUEST_TOPIC_URN = huaweicloud_smn_topic.requests.topic_urn # where a plan's requests go
  }))
  app_agency    = huaweicloud_identity_agency.execution.name
  agency        = huaweicloud_identity_agency.configuration.name

  enable_lts_log  = true
  log_group_id    = huaweicloud_lts_group.log.id
  log_group_name  = huaweicloud_lts_group.log.group_name
  log_stream_id   = huaweicloud_lts_stream.log.id
  log_stream_name = huaweicloud_lts_stream.log.stream_name
}

resource "huaweicloud_obs_bucket" "failures" {
  bucket        = var.bucket
  acl           = "private"
  encryption    = true
  sse_algorithm = "AES256"
}

# Nothing lost: all tries there are, as long as there may be, and then the bucket.
resource "huaweicloud_fgs_async_invoke_configuration" "replicator" {
  function_urn                   = huaweicloud_fgs_function.replicator.urn
  max_async_retry_attempts       = 3
  max_async_event_age_in_seconds = 86400
  enable_async_status_log        = true

  on_failure {
    destination = "OBS"
    param = jsonencode({
      bucket  = huaweicloud_obs_bucket.failures.bucket
      prefix  = "/failures"
      expires = 0
    })
  }
}

resource "huaweicloud_fgs_function_trigger" "requests" {
  function_urn = huaweicloud_fgs_function.replicator.urn
  type         = "SMN"
  event_data   = jsonencode({ topic_urn = huaweicloud_smn_topic.requests.topic_urn })

  depends_on = [huaweicloud_fgs_async_invoke_configuration.replicator]
}

resource "huaweicloud_fgs_function_trigger" "nightly" {
  function_urn = huaweicloud_fgs_function.replicator.urn
  type         = "TIMER"
  event_data = jsonencode({
    name           = "${var.name}-nightly"
    schedule_type  = "Cron"
    schedule       = var.schedule
    sync_execution = false
    user_event     = ""
  })

  depends_on = [huaweicloud_fgs_async_invoke_configuration.replicator]
}

resource "huaweicloud_ces_alarmrule" "backup" {
  count = var.start_on_backup ? 1 : 0

  alarm_name           = "${var.name}-backup"
  alarm_type           = "EVENT.SYS"
  alarm_enabled        = true
  alarm_action_enabled = true

  metric {
    namespace = "SYS.CBR"
  }

  condition {
    metric_name         = "backupSucceeded"
    period              = 0
    filter              = "average"
    comparison_operator = ">="
    value               = 1
    unit                = "count"
    count               = 1
    suppress_duration   = 0
    alarm_level         = 4
  }

  alarm_actions {
    type              = "notification"
    notification_list = [huaweicloud_smn_topic.requests.topic_urn]
  }
}

resource "huaweicloud_apig_group" "replicator" {
  count = var.apig_instance == "" ? 0 : 1

  instance_id = var.apig_instance
  name        = local.label
}

# Callers sign as for CBR itself.
resource "huaweicloud_apig_api" "replicate" {
  count = var.apig_instance == "" ? 0 : 1

  instance_id             = var.apig_instance
  group_id                = huaweicloud_apig_group.replicator[0].id
  name                    = "replicate"
  type                    = "Public"
  request_protocol        = "HTTPS"
  request_method          = "POST"
  request_path            = "/v3"
  matching                = "Prefix"
  security_authentication = "IAM"

  func_graph {
    function_urn    = huaweicloud_fgs_function.replicator.urn
    version         = "latest"
    invocation_type = "sync"
    timeout         = 30000
  }
}

resource "huaweicloud_apig_environment" "release" {
  count = var.apig_instance == "" ? 0 : 1

  instance_id = var.apig_instance
  name        = "${local.label}_release"
}

resource "huaweicloud_apig_api_publishment" "replicate" {
  count = var.apig_instance == "" ? 0 : 1

  instance_id = var.apig_instance
  api_id      = huaweicloud_apig_api.replicate[0].id
  env_id      = huaweicloud_apig_environment.release[0].id
}

output "requests" {
  description = "The topic for requests, the message being one request."
  value       = huaweicloud_smn_topic.requests.topic_urn
}

output "results" {
  description = "The topic of results. Subscribe to it."
  value       = huaweicloud_smn_topic.results.topic_urn
}

output "function" {
  value = huaweicloud_fgs_function.replicator.urn
}
