# The released zip and template.yaml as one CloudFormation stack, so that what runs
# is what is tested and documented: alarms, dashboard and all. The stack's surface,
# its parameters and outputs, is kept by semantic versions.

terraform {
  required_version = ">= 1.5"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}

variable "name" {
  description = "The stack's name. Its queue is named after it, and SQS takes no longer names."
  type        = string
  default     = "cbr-replicator"

  validation {
    condition     = length(var.name) <= 71
    error_message = "The name has more than 71 characters."
  }
}

variable "bucket" {
  description = "A bucket of yours, in the stack's region, for the zip and the template."
  type        = string
}

variable "zip" {
  description = "The arm64 zip of a release."
  type        = string
}

variable "template" {
  description = "template.yaml of the same release."
  type        = string
  default     = "../../template.yaml"
}

variable "parameters" {
  description = "Parameters of template.yaml. AllowedDestinations and TokenSecretArn are required, and AllowedProjectIds or HuaweiProjectId."
  type        = map(string)
}

locals {
  zip_key = "${var.name}/${filesha256(var.zip)}.zip"
  # As `sam package` does it.
  template = replace(file(var.template), "/(?m)^( +)CodeUri: \\.$/", "$${1}CodeUri: s3://${var.bucket}/${local.zip_key}")
}

data "aws_s3_bucket" "release" {
  bucket = var.bucket
}

resource "aws_s3_object" "zip" {
  bucket = var.bucket
  key    = local.zip_key
  source = var.zip
}

# In the bucket, since CloudFormation takes no more than 51,200 bytes with the call.
resource "aws_s3_object" "template" {
  bucket  = var.bucket
  key     = "${var.name}/${sha256(local.template)}.yaml"
  content = local.template

  lifecycle {
    precondition {
      condition     = strcontains(local.template, local.zip_key)
      error_message = "The template has no line \"CodeUri: .\" to put the zip into."
    }
  }
}

resource "aws_cloudformation_stack" "cbr_replicator" {
  name         = var.name
  template_url = "https://${data.aws_s3_bucket.release.bucket_regional_domain_name}/${aws_s3_object.template.key}"
  parameters   = var.parameters
  # It makes roles, and has SAM's transform.
  capabilities = ["CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]

  depends_on = [aws_s3_object.zip]
}

output "stack" {
  description = "QueueUrl, QueueArn, DeadLetterQueueUrl, RejectedQueueUrl, FollowQueueUrl, FollowDeadLetterQueueUrl, UnfollowedQueueUrl, ResultTopicArn, HttpApiUrl, FunctionArn and DashboardUrl."
  value       = aws_cloudformation_stack.cbr_replicator.outputs
}
