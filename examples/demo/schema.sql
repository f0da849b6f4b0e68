-- What the demo builds from the packages. Run as role demo, in its own schema.

CREATE SCHEMA packages;

CREATE TABLE packages.package (
	name         text,
	architecture text,
	version      text NOT NULL,
	section      text,
	depends      text,
	summary      text,
	search       tsvector NOT NULL,
	PRIMARY KEY (name, architecture)
);
CREATE INDEX ON packages.package USING gin (search);

-- An edge for each package that another one names, installed or not.
CREATE TABLE packages.dependency (
	name         text,
	architecture text,
	needs        text,
	PRIMARY KEY (name, architecture, needs),
	FOREIGN KEY (name, architecture) REFERENCES packages.package
);
CREATE INDEX ON packages.dependency (needs);
