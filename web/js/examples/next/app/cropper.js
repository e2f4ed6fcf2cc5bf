"use client";

import { useEffect, useState } from "react";
import { CropVLM } from "cropvlm";

let loading; // one for the page

export default function Cropper() {
  const [file, setFile] = useState(null);
  const [said, setSaid] = useState("");
  const [url, setUrl] = useState(null);

  useEffect(() => {
    if (!file) return;
    const control = new AbortController();
    (loading ??= CropVLM.load())
      .then((crop) => crop.propose(file, "What is the total?", { signal: control.signal }))
      .then(async (proposal) => {
        setUrl(URL.createObjectURL(await proposal.blob()));
        setSaid(`Box ${proposal.box.join(", ")} percent`);
      })
      .catch((error) => error.code !== "aborted" && setSaid(`${error.code}: ${error.message}`));
    return () => control.abort();
  }, [file]);

  return (
    <>
      <label>
        Picture <input type="file" accept="image/*" onChange={(event) => setFile(event.target.files[0])} />
      </label>
      <p>
        <output>{said}</output>
      </p>
      {url && <img src={url} alt="The crop" />}
    </>
  );
}
